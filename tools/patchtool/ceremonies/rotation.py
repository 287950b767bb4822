"""Key rotation: a key joins, a key ends, and clients follow.

What says who may sign changes last when a key ends and first when one joins, so that whatever is
visible is signed by somebody whom the root that is visible names. A command that is stopped leaves
clients with a repository they accept; it is simply run again.

Root may need the signatures of several people. Then the change of root is not published but
given back as a proposal, which travels from one to the next (see `patchtool.keys.root_documents`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from patchtool.keys.root_documents import (
    PARTS,
    SHOWN,
    Proposal,
    PublicKey,
    RootRole,
    changed,
    difference,
    refuse_shared,
)
from patchtool.keys.signing_keys import Role, Signer
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from updater.errors import InstallError, RequestError, TrustError

OTHERS: dict[Role, tuple[str, ...]] = {
    "root": (),
    "targets": (),
    "release": ("targets", "timestamp"),
    "online": ("targets",),
}
"""Roles but root whose keys must be at hand to let another key of a role of ours join."""


@dataclass(frozen=True)
class Done:
    """The outcome of a change of keys."""

    words: tuple[str, ...]
    """The change, for people."""
    made: tuple[Path, ...] = ()
    """New key files."""
    retired: tuple[Path, ...] = ()
    """Key files that were renamed because they sign nothing any more."""
    proposal: Proposal | None = None
    """The change of root that lacks signatures; None: all is published."""


def rotate(
    repository: Repository,
    role: Role,
    *,
    app: str | None = None,
    threshold: int | None = None,
    at_once: bool = False,
    propose: bool = False,
) -> Done:
    """Let a new key sign for a role, beside those it has.

    A key of the role that is at hand and that the repository has never named is the new one; else
    one is made.

    Args:
        repository: its lock is taken.
        role: whose key.
        app: the app of a release key; need not be named if there is one only.
        threshold: root signatures needed from now on.
        at_once: end the keys there are as well.
        propose: if signatures of root are missing, give a proposal back instead of refusing.

    Raises:
        InstallError: keys that are missing, of another repository or in two roles; a threshold
            that cannot be met; the disk. Clients see what they saw before, or the new key too;
            a new key file may be there, and is used when the command is run again.
    """
    _open_keys(repository, role, app)
    repository.refuse_others()
    count = _count(repository, role, app, propose=propose, at_once=at_once)
    is_open = role == "online" and _unsettled(repository.look())
    made = () if is_open else _fresh(repository, role, app, count)[1]
    with repository.writing():
        count = _count(repository, role, app, propose=propose, at_once=at_once)
        done = _finished(repository, role) or _joined(repository, role, app, count, threshold)
        done = replace(done, made=(*made, *done.made))
        if not at_once:
            return done
        ending = _ids(keys_of(repository.look(), role, app))[:-count]
        ended = _leave(repository, role, app, ending, None)
        return replace(ended, made=done.made, words=(*done.words, *ended.words))


def revoke(
    repository: Repository,
    role: Role,
    *,
    app: str | None = None,
    key: str | None = None,
    threshold: int | None = None,
    propose: bool = False,
) -> Done:
    """End a key of a role; what it has signed is signed anew by those that stay.

    Args:
        repository: its lock is taken.
        role: whose key.
        app: the app of a release key; need not be named if there is one only.
        key: the first digits of its id; default: all but the one that came last. A root key
            must be named, for there are several at all times.
        threshold: root signatures needed from now on.
        propose: if signatures of root are missing, give a proposal back instead of refusing.

    Raises:
        InstallError: it would be the last one, or leave fewer than the threshold; keys are
            missing; the disk. Clients see what they saw before, or the same signed anew.
    """
    _open_keys(repository, role, app)
    with repository.writing():
        finished = _finished(repository, role)
        if finished is not None and len(keys_of(repository.look(), role, app)) == 1:
            return finished
        gone = _named(repository, role, app, key)
        _require_root(repository, role, propose=propose)
        return _leave(repository, role, app, gone, threshold)


def publish_root(repository: Repository, proposal: Proposal) -> Done:
    """Publish a proposal that everybody has signed who must; or go on where that was stopped.

    Raises:
        TrustError: it does not follow from the present root of the repository.
        InstallError: signatures are missing, or the keys of targets and online if the online keys
            change; or the disk. Clients see what they saw before, or the new root.
    """
    with repository.writing():
        *older, present = repository.look().roots()
        is_there = proposal.root.signed == present.signed
        if is_there and older and proposal.present == older[-1].signed:
            _publish(repository, proposal, is_new=False)
            return Done(_words(proposal), retired=_retired(repository, proposal))
        if proposal.present != present.signed:
            raise TrustError(
                f"the proposal does not follow root {present.signed.version} of this repository",
                hint="the root has changed meanwhile, or it is another repository's",
            )
        repository.check_proposal(proposal)
        if proposal.lacking:
            raise RequestError(
                f"root {proposal.root.signed.version} is still {proposal.lacking}",
                hint="send the file to them: patchtool keys sign-root FILE --keys THEIRS",
            )
        _publish(repository, proposal.tidied())
        return Done(_words(proposal), retired=_retired(repository, proposal))


def _open_keys(repository: Repository, role: Role, app: str | None) -> None:
    """Open the keys a ceremony may need: nobody is to wait while a person types a password."""
    repository.require()
    kinds: dict[Role, tuple[Role, ...]] = {
        "root": ("root",),
        "targets": ("root", "targets", "online"),
        "release": ("targets", "online"),
        "online": ("root", "targets", "online"),
    }
    for kind in kinds[role]:
        repository.keyring.at_hand(kind)
    if role == "release":
        repository.keyring.at_hand(role, app)


def _retired(repository: Repository, proposal: Proposal) -> tuple[Path, ...]:
    return tuple(path for role in PARTS for path in _retire(repository, role, proposal))


def _count(
    repository: Repository, role: Role, app: str | None, *, propose: bool, at_once: bool
) -> int:
    """Return the number of keys to add, if the keys that this needs are at hand."""
    repository.require_keys(OTHERS[role])
    _require_root(repository, role, propose=propose and not at_once)
    old = keys_of(repository.look(), role, app)
    return len(old) if at_once and role == "root" else 1


def _joined(
    repository: Repository, role: Role, app: str | None, count: int, threshold: int | None
) -> Done:
    fresh, made = _fresh(repository, role, app, count)
    joining = [signer.public_key for signer in fresh]
    if role == "release":
        (name,) = _delegated(repository.look(), role, app)
        repository.rekey({name: [*repository.look().keys_of(name), *joining]})
        words = tuple(f"release key {key.keyid[:SHOWN]} joins for {name}" for key in joining)
        return Done(words, made)
    root = changed(repository.look().roots()[-1].signed, role, joining=joining, threshold=threshold)
    return replace(_propose(repository, root), made=made)


def _finished(repository: Repository, role: Role) -> Done | None:
    """Finish a ceremony of online keys that was stopped behind its root; None without one."""
    if role != "online" or not _unsettled(repository.look()):
        return None
    keys = repository.look().keys_of("timestamp")
    repository.rekey(dict.fromkeys(_delegated(repository.look(), role, None), keys))
    return Done((f"channels follow root: online {', '.join(k.keyid[:SHOWN] for k in keys)}",))


def _leave(
    repository: Repository, role: Role, app: str | None, gone: list[str], threshold: int | None
) -> Done:
    stay = [key for key in keys_of(repository.look(), role, app) if key.keyid not in gone]
    if not stay:
        raise RequestError(
            f"the {role} key {gone[0][:SHOWN]} is the last one",
            hint="let another one join first (patchtool keys rotate); for a stolen key in one "
            "step: patchtool keys rotate --at-once",
        )
    if role == "release":
        done = _release_left(repository, _delegated(repository.look(), role, app), stay, gone)
    else:
        done = _root_left(repository, role, gone, threshold)
    if done.proposal is not None:
        return done
    return replace(done, retired=tuple(repository.keyring.retire(role, gone, app)))


def _release_left(
    repository: Repository, names: list[str], stay: list[PublicKey], gone: list[str]
) -> Done:
    repository.rekey(dict.fromkeys(names, stay), gone)
    return Done(tuple(f"release key {i[:SHOWN]} ends for {', '.join(names)}" for i in gone))


def _root_left(repository: Repository, role: Role, gone: list[str], threshold: int | None) -> Done:
    root = changed(repository.look().roots()[-1].signed, role, leaving=gone, threshold=threshold)
    if role != "root":  # signed by those that stay, before the root that names nobody else
        repository.rekey({}, gone)
    return _propose(repository, root)


def _propose(repository: Repository, root: RootRole) -> Done:
    proposal = repository.propose(root)
    if proposal.lacking:
        return Done(_words(proposal), proposal=proposal)
    _publish(repository, proposal)
    return Done(_words(proposal))


def _publish(repository: Repository, proposal: Proposal, *, is_new: bool = True) -> None:
    """Publish a root; whom it names as online keys, targets name for the channels."""
    root = proposal.root
    keys = [root.signed.keys[keyid] for keyid in root.signed.roles["timestamp"].keyids]
    other = _unsettled(repository.look(), root.signed)
    if other:
        repository.require_keys(["targets"])
        if not {s.public_key.keyid for s in repository.keyring.at_hand("online")} & set(_ids(keys)):
            raise RequestError(
                "no online key that this root names is at hand",
                hint="put the new online.pem into the folder of keys",
            )
    if is_new:
        repository.add_root(root)
    if other:
        repository.rekey(dict.fromkeys(other, keys))


def _unsettled(seen: Snapshot, root: RootRole | None = None) -> list[str]:
    """Channels that targets delegate to other keys than a root, the present one, calls online."""
    named = (root or seen.roots()[-1].signed).roles["timestamp"].keyids
    channels = _delegated(seen, "online", None)
    return [role for role in channels if set(_ids(seen.keys_of(role))) != set(named)]


def _fresh(
    repository: Repository, role: Role, app: str | None, count: int
) -> tuple[list[Signer], tuple[Path, ...]]:
    """New keys of a role: those at hand that were never named, then ones made now."""
    held = repository.keyring.at_hand(role, app)
    refuse_shared(_everyone(repository.look()) | {role: [signer.public_key for signer in held]})
    named = repository.ever_named()
    ready = [signer for signer in held if signer.public_key.keyid not in named][:count]
    made = [repository.keyring.make(role, app) for _ in range(count - len(ready))]
    return [*ready, *(signer for signer, _ in made)], tuple(path for _, path in made)


def _require_root(repository: Repository, role: Role, *, propose: bool) -> None:
    """Refuse to begin what only a proposal could end."""
    if role == "release" or propose:
        return
    repository.require_keys(["root"])
    if not repository.can_sign("root"):
        raise RequestError(
            "not all root signatures needed are at hand",
            hint="let others sign a proposal: --proposal FILE, without --at-once",
        )


def _named(repository: Repository, role: Role, app: str | None, key: str | None) -> list[str]:
    """Ids of the keys to end."""
    ids = _ids(keys_of(repository.look(), role, app))
    if key is None and role != "root":
        return ids[:-1] or ids
    key = key or ""
    found = [keyid for keyid in ids if keyid.startswith(key.lower())]
    if len(found) != 1:
        raise RequestError(
            f"{len(found)} {role} keys begin with {key!r}" if key else "which root key ends?",
            hint=f"name one with --key: {', '.join(keyid[:SHOWN] for keyid in ids)}",
        )
    return found


def keys_of(seen: Snapshot, role: Role, app: str | None) -> list[PublicKey]:
    """Return the keys that may sign for a role, in the order in which they came."""
    if role == "release":
        (name,) = _delegated(seen, role, app)
        return seen.keys_of(name)
    return seen.keys_of(PARTS[role][-1])


def _delegated(seen: Snapshot, role: Role, app: str | None) -> list[str]:
    """Delegated roles that the keys of a role of ours sign."""
    apps = seen.apps()
    if role == "online":
        return [f"channels.{name}" for name in apps]
    if role != "release":
        return []
    if app is None and len(apps) > 1:
        raise RequestError(
            "each app has a release key of its own", hint=f"name one: --app {apps[0]}"
        )
    if app is not None and app not in apps:
        raise RequestError(f"the repository does not know {app}", hint="check the name of the app")
    return [f"app.{app or apps[0]}"]


def _everyone(seen: Snapshot) -> dict[Role, Sequence[PublicKey]]:
    """All keys that may sign, by role."""
    held: dict[Role, Sequence[PublicKey]] = {r: seen.keys_of(p[-1]) for r, p in PARTS.items()}
    releases = [key for app in seen.apps() for key in seen.keys_of(f"app.{app}")]
    return held | {"release": releases}


def _retire(repository: Repository, role: Role, proposal: Proposal) -> list[Path]:
    part = PARTS[role][-1]
    stay = proposal.root.signed.roles[part].keyids
    gone = [keyid for keyid in proposal.present.roles[part].keyids if keyid not in stay]
    with suppress(InstallError):  # a key of somebody else; what counts is published
        return repository.keyring.retire(role, gone) if gone else []
    return []


def _ids(keys: Sequence[PublicKey]) -> list[str]:
    return [key.keyid for key in keys]


def _words(proposal: Proposal) -> tuple[str, ...]:
    return tuple(difference(proposal.present, proposal.root.signed))
