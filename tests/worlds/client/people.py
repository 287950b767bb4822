"""What users and administrators do to an install and its folders."""

from __future__ import annotations

import shlex

from tests.worlds.client.draft import Actions, Draft

OWN = ("mine", "mine.d/x", "lib/mine", "моё", "new\nline", "-mine")


def own_file(draft: Draft) -> None:
    """A file of the user's, perhaps where a release or a commit wants a name."""
    path = shlex.quote(draft.pick(OWN))
    if draft.chance(2):
        path = draft.path() + draft.pick([".old", ".new", ".dist", "/inside", ""])
    text = f"own {path} 'of the user {draft.count()}'"
    if draft.chance(8):
        text = f"own {path}.old/x 'of the user {draft.count()}'"
    draft.step("user: own file", text)


def edit(draft: Draft) -> None:
    """A released file is changed."""
    draft.step("user: edit", f"edit {draft.path()} 'of the user {draft.count()}'")


def remove(draft: Draft) -> None:
    """A released file is removed."""
    draft.disturb()
    draft.step("user: remove", f"drop {draft.path()}")


def relink(draft: Draft) -> None:
    """A released folder is moved elsewhere, and a symlink put in its place."""
    folder = draft.folder()
    if folder:
        draft.disturb()
        where = draft.pick(["$W/elsewhere", '"$A"/elsewhere'])
        draft.step("user: link for a folder", f"relink {folder} {where}")


def mode(draft: Draft) -> None:
    """An administrator narrows what may be read."""
    path = draft.path()
    narrow = draft.pick(["go-rwx", "o-rwx", "g-w,o-rwx"])
    draft.step("administrator: mode", f'there {path} && chmod {narrow} "$A"/{path}; note')


def private(draft: Draft) -> None:
    """A folder for its owner only."""
    where = draft.pick(['"$A"', f'"$(dirname "$A"/{draft.path()})"'])
    text = f"[ -d {where} ] && [ ! -L {where} ] && chmod 700 {where}; note"
    draft.step("administrator: private", text)


def mark(draft: Draft) -> None:
    """Attributes, a group, setgid folders."""
    path = draft.path()
    place = f'"$A"/{path}'
    if not draft.given and draft.chance(3):
        give(draft)
    text = draft.pick(
        [
            f"there {path} && setfattr -n user.mine -v 1 {place}; note",
            f"there {path} && chgrp 12 {place} && chmod ug=rwX,o= {place}; note fresh",
            f'chmod g+s "$A" "$(dirname {place})" 2>/dev/null; note fresh',
        ]
    )
    draft.step("administrator: mark", text)


def freeze(draft: Draft) -> None:
    """Something cannot be changed or deleted; a start or a command comes upon it."""
    draft.disturb()
    what = draft.pick(["file", "file", "kept"])
    offer = f"{draft.offer()}up; " if draft.chance(2) else ""
    path = draft.path_of_update() if offer else draft.path()
    if what == "kept":
        text = (
            'state; for f in "$S"/old/* "$S"/trash/*; do [ -f "$f" ] && chattr +i "$f"; done; note'
        )
    else:
        text = f'{offer}there {path} && chattr +i "$A"/{path}; note'
    draft.step(f"administrator: immutable {what}", text)
    if draft.chance(2):
        draft.step("start quick", "starts quick", "came_up")


def give(draft: Draft) -> None:
    """The install becomes a user's, with its parent or without."""
    if not draft.given and draft.chance(4):
        text = 'state; chown -R 45678:45678 "$A" "$S"; note fresh'
        draft.step("administrator: give files", text)
        return
    draft.given = True
    what = draft.pick(['"$(dirname "$A")" "$A" "$S"', '"$A" "$S"'])
    text = f"state; chown -R 45678:45678 {what}; AS=$USER_; note fresh"
    draft.step("administrator: give", text)


def sudo(draft: Draft) -> None:
    """Root acts on a user's install, and then its user goes on."""
    if not draft.given:
        give(draft)
    if not draft.given:
        return
    name = draft.pick(["update", "update", "update", "repair", "rollback", "recover"])
    blame = "installed >> blamed; " if name == "rollback" else ""
    act = "up" if name == "update" else f'clear; note; run updater {name} --dir "$A"'
    draft.disturb(calm=name in {"update", "repair", "recover"})
    draft.step(f"sudo {name}", f"{draft.offer()}{blame}AS=; {act}; AS=$USER_")


def move(draft: Draft) -> None:
    """The folder and its State go elsewhere, as they are or as a copy."""
    if draft.mounted:
        return
    name = f"moved{draft.count()}"
    make = f'beside; mkdir {name}; chown --reference="$D" {name}'
    if draft.chance(2):
        text = f'{make}; mv "$D"/a "$D"/.a.upswap {name} 2>/dev/null; A=$W/{name}/a; note fresh'
        draft.step("folder: moved", text)
        return
    make = f"{draft.offer()}up; {make}"
    text = f'{make}; cp -a "$D/." {name}; B=$A; A=$W/{name}/a; note fresh; twins "$A" "$B"'
    draft.step("folder: copied", text)


def restore(draft: Draft) -> None:
    """A backup comes back: of all, or of the install alone, made now or some versions ago."""
    if draft.mounted:
        return
    what = draft.pick(["now", "now with State", "earlier"])
    if what == "now":
        text = 'beside; cp -a "$A" backup; rm -rf "${A:?}"; mv backup "$A"; note fresh'
    elif what == "now with State":
        text = (
            'beside; cp -a "$D/." back; rm -rf "${D:?}"/* "${D:?}"/.a.upswap; '
            'cp -a back/. "$D"; rm -rf back; note fresh'
        )
    else:
        draft.disturb()
        back = 'rm -rf "${A:?}"; mv backup "$A"; older'
        text = f'beside; cp -a "$A" backup; {draft.offer()}up; {back}'
    draft.step(f"folder: restored, {what}", text, after=":" if what == "earlier" else "after")


ACTIONS: Actions = [
    (4, own_file),
    (3, edit),
    (1, remove),
    (1, relink),
    (2, mode),
    (2, private),
    (2, mark),
    (2, freeze),
    (1, give),
    (2, sudo),
    (1, move),
    (1, restore),
]
