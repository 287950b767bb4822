"""What the machine does: kills, calls that fail, limits, locales, mounts, other programs."""

from __future__ import annotations

from tests.worlds.client.draft import Actions, Draft

CALLS = ("rename", "link", "unlink", "mkdir", "fsync", "openat", "symlink", "chmod", "rmdir")
AIMED = ("openat", "openat", "rename", "link", "unlink", "newfstatat", "chmod", "rmdir")
ERRORS = ("ENOSPC", "EIO", "EACCES", "EMFILE")
COMMANDS = ("update", "update", "update", "recover", "repair", "rollback", "launch")
LOOKS = ("openat", "openat", "newfstatat", "unlink", "rename")
LOCALE = "env LOCPATH=$W/lp LC_ALL=en_US.ISO-8859-1"
BLAMES = {
    "rollback": "installed >> blamed; ",
    "launch": "cut -d ' ' -f 1 characters >> blamed; ",
}


def killed(draft: Draft) -> None:
    """A command dies at some call, perhaps the next one too; then somebody goes on."""
    name = draft.pick(COMMANDS)
    offer = draft.offer() if name == "update" else ""
    draft.disturb()
    _traced(
        draft, "killed", name, f"{draft.pick(CALLS)}:signal=KILL:when={draft.number(1, 14)}", offer
    )
    if draft.chance(3):
        again = f"{draft.pick(CALLS)}:signal=KILL:when={draft.number(1, 6)}"
        _traced(draft, "killed again", draft.pick(COMMANDS), again, "")
    _go_on(draft)


def failing_call(draft: Draft) -> None:
    """One call fails, aimed at a file of a release and what lies beside it."""
    name = draft.pick(COMMANDS)
    offer = draft.offer() if name == "update" else ""
    path = draft.path_of_update()
    fault = f"{draft.pick(AIMED)}:error={draft.pick(ERRORS)}:when={draft.number(1, 4)}"
    aimed = " ".join(
        f'-P "$A"/{path}{end}' for end in draft.pick([("", ".old", ".new"), (".old",)])
    )
    draft.disturb()
    _traced(draft, "failing", name, fault, offer, aimed)
    _go_on(draft)


def failing_look(draft: Draft) -> None:
    """An update cannot look at, or take away, what it has put aside itself."""
    offer, path = draft.offer(), draft.path_of_update()
    when = draft.pick(["1", "2", "1+", "1+", "2+"])
    fault = f"{draft.pick(LOOKS)}:error={draft.pick(ERRORS)}:when={when}"
    draft.disturb(calm=True)
    _traced(draft, "failing look", "update", fault, offer, f'-P "$A"/{path}.old')
    draft.step("update", "up", "up", after="after strict" if draft.calm else "after")


def failing_anywhere(draft: Draft) -> None:
    """One call of a kind fails, whatever it was for."""
    name = draft.pick(COMMANDS)
    offer = draft.offer() if name == "update" else ""
    fault = f"{draft.pick(CALLS[:5])}:error={draft.pick(ERRORS)}:when={draft.number(1, 14)}"
    draft.disturb()
    _traced(draft, "failing", name, fault, offer)
    _go_on(draft)


def _traced(draft: Draft, kind: str, name: str, fault: str, offer: str, aimed: str = "") -> None:
    options = " --quiet --no-restart" if name == "update" else ""
    quick = f"-e trace={fault.split(':', maxsplit=1)[0]} "
    quick += "" if "KILL" in fault else "--seccomp-bpf "
    text = (
        f"{offer}{BLAMES.get(name, '')}clear; note; MODE=quick timeout -k 5 60 $AS strace -f -qq "
        f'-o /dev/null {quick}{aimed} -e inject={fault} updater {name} --dir "$A"{options} '
        f">out 2>err\nR=$?; [ $R = 137 ] || ended {name}"
    )
    draft.step(f"{kind} {name}", text)


def _go_on(draft: Draft) -> None:
    """Whoever comes next must find an application."""
    what = draft.pick(["start", "start", "update", "recover", "meddle", "meddle", "nothing"])
    if what == "start":
        draft.step("start quick", "starts quick", "came_up")
    elif what == "update":
        draft.step("update", "up")
    elif what == "meddle":
        path, number = draft.path_of_update(), draft.count()
        draft.step(
            "user: meddle", f"own {path}.old/x 'in the way {number}'; edit {path} 'mine {number}'"
        )
    elif what == "recover":
        draft.step("recover", 'clear; note; run $AS updater recover --dir "$A"')


def locale(draft: Draft) -> None:
    """An encoding that lacks names of the release."""
    draft.disturb()
    update = 'updater update --dir "$A" --no-restart'
    draft.step("locale", f"locale_; {draft.offer()}clear; note; run $AS {LOCALE} {update}")
    start = f'state; starts quick {LOCALE} "$S/launcher/start"'
    draft.step("start in locale", start, "came_up")


def environment(draft: Draft) -> None:
    """Streams, limits and variables that are not as usual; an update does its work, or says why."""
    update = 'updater update --dir "$A" --no-restart'
    must, offer = draft.must, draft.offer()
    kind = draft.pick(["no stderr", "no stdout", "full", "umask", "clock", "files", "processes",
                       "size", "cp1252", "proxy"])  # fmt: skip
    clock = draft.pick(["+2 days", "-400 days"])
    lines = {
        "no stderr": f"timeout -k 5 60 $AS {update} >out 2>&-; R=$?; ended update{must}",
        "no stdout": f"timeout -k 5 60 $AS {update} >&- 2>err; R=$?; ended update",
        "full": f"timeout -k 5 60 $AS {update} >/dev/full 2>err; R=$?; ended update",
        "umask": f"umask 077; run $AS {update}{must}; umask 022",
        "clock": f"run $AS faketime '{clock}' {update}",
        "files": f"( ulimit -n 24; run $AS {update}; echo $R > code ) || exit 1; spoke",
        "processes": f"( ulimit -u 1; run $USER_ {update}; echo $R > code ) || exit 1; spoke",
        "size": f"( ulimit -f 40; run $AS {update}; echo $R > code ) || exit 1; spoke",
        "cp1252": f"PYTHONIOENCODING=cp1252 run $AS {update}{must}",
        "proxy": f"http_proxy=http://me:s3cretpw@127.0.0.1:9 run $AS {update}",
    }
    draft.disturb(calm=kind in {"no stderr", "umask", "cp1252"})
    draft.step(f"environment: {kind}", f"{offer}clear; note; {lines[kind]}")


def mount(draft: Draft) -> None:
    """The install, or one of its files, becomes a mount."""
    if draft.mounted:
        return
    draft.mounted = True
    path = draft.path()
    if draft.chance(2):
        draft.step("mount: install", 'mount --bind "$A" "$A"; note')
        return
    draft.disturb()
    draft.step("mount: file", f"there {path} && mounts {path}; note")


def spoiler(draft: Draft) -> None:
    """Another program writes into a new file in the middle of a commit."""
    offer, path = draft.offer(), draft.path_of_update()
    draft.disturb()
    spoil = f'python3 -SEs spoil.py "$A"/{path} & P=$!; sleep 0.2'
    text = f"{offer}there {path} && {{ {spoil}; up; quit $P; }}"
    draft.step("spoiler", text)


def no_python(draft: Draft) -> None:
    """The interpreter the launcher was made with is gone; without another it says so."""
    text = (
        'state; echo /nowhere > "$S/launcher/$(cat "$S/launcher/current")/python"; clear; note\n'
        'MODE=quick PATH=/ /bin/sh "$S/launcher/start" >out 2>err; R=$?\n'
        '[ $R != 126 ] && [ $R != 127 ] || fail "2 start: without Python: $(tail -n 1 err)"'
    )
    draft.step("no python", text)


ACTIONS: Actions = [
    (3, killed),
    (3, failing_call),
    (2, failing_look),
    (2, failing_anywhere),
    (2, locale),
    (2, environment),
    (1, mount),
    (2, spoiler),
    (1, no_python),
]
