"""Ceremonies: keys join and end, clients follow; whoever stole one is left behind."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.rotation import Done, publish_root, revoke, rotate
from patchtool.keys.signing_keys import REVOKED, Keys, Role
from patchtool.release.refresh import refresh
from patchtool.repository.repository import Repository
from tuf.api.metadata import Metadata, Root

from tests.support.attacks.hostile import HIGHEST, fast_forward, newest, rewrite
from tests.support.repository.dying import killed_everywhere
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.trees import Tree, read_tree
from updater import Updater, install
from updater.errors import InstallError, TransportError, TrustError
from updater.local.session import Session

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


DAY = 86_400
TWO: Tree = {"f": b"2"}
THREE: Tree = {"f": b"3"}
ROLES: tuple[Role, ...] = ("root", "targets", "release", "online")
SIGNED_BY: dict[Role, list[str]] = {
    "targets": ["targets"],
    "release": ["app.notes"],
    "online": ["channels.notes", "snapshot", "timestamp"],
}


def with_keys(publisher: Publisher, folder: Path, *names: str) -> Repository:
    """The repository for somebody who has only these key files."""
    folder.mkdir(mode=0o700)
    for name in names:
        shutil.copy2(publisher.keys.folder / name, folder / name)
    return Repository(publisher.folder, Keys(folder, PASSWORD), publisher.now)


def sees(publisher: Publisher, memory: Path) -> set[str]:
    """Versions a client sees that was installed with the first root."""
    catalogue = look(publisher.folder, memory, publisher.root, publisher.now)
    return offered(publisher.folder, catalogue)


def roots(publisher: Publisher) -> list[Metadata[Root]]:
    return list(publisher.repository().look().roots())


@pytest.mark.parametrize("role", ROLES)
def test_while_keys_overlap_both_sign_and_clients_follow(
    role: Role, publisher: Publisher, tmp_path: Path
) -> None:
    sees(publisher, tmp_path / "old")
    done = rotate(publisher.repository(), role)
    (new,) = done.made
    names = {path.name for path in publisher.keys.folder.glob("*.pem")}
    others = {name for name in names if not name.startswith(role)}
    rest = sorted(names - others - {new.name})
    common = rest[:1] if role == "root" else []
    for n, mine in enumerate((rest[-1], new.name)):
        needed = [*others, *common, mine]
        repository = with_keys(publisher, tmp_path / f"keys-{n}", *needed)
        repository.renew([s.role for s in repository.statuses()])
        assert repository.look().is_signed("root")
        assert sees(publisher, tmp_path / "old") == {"1.0"}
        assert sees(publisher, tmp_path / f"new-{n}") == {"1.0"}


@pytest.mark.parametrize("role", ["targets", "release", "online"])
@pytest.mark.parametrize("at_once", [False, True], ids=["overlap", "at once"])
def test_a_key_that_ended_signs_nothing_and_its_successor_everything(
    role: Role, at_once: bool, publisher: Publisher, tmp_path: Path
) -> None:
    sees(publisher, tmp_path / "old")
    (thief,) = publisher.keys.signers(role)
    stolen = with_keys(publisher, tmp_path / "stolen", f"{role}.pem")
    done = rotate(publisher.repository(), role, at_once=at_once)
    if not at_once:
        done = revoke(publisher.repository(), role)
    assert [path.name for path in done.retired] == [f"{REVOKED}{role}.pem"]
    publisher.release("2.0", TWO)
    assert sees(publisher, tmp_path / "old") == sees(publisher, tmp_path / "new") == {"1.0", "2.0"}
    with pytest.raises(InstallError, match=f"the {role} key is not the one"):
        stolen.require_keys(SIGNED_BY[role])
    for name in SIGNED_BY[role]:
        path = newest(publisher, name)
        honest = path.read_bytes()
        assert thief.public_key.keyid not in Metadata[Any].from_bytes(honest).signatures
        rewrite(path, lambda _: None, thief)
        for memory in ("old", "new", f"fresh-{name}"):
            shutil.rmtree(tmp_path / memory, ignore_errors=True)  # else what is kept is not fetched
            with pytest.raises(TrustError):
                sees(publisher, tmp_path / memory)
        path.write_bytes(honest)


@pytest.mark.parametrize("at_once", [False, True], ids=["overlap", "at once"])
def test_a_root_is_signed_by_as_many_old_and_new_keys_as_both_ask_for(
    at_once: bool, publisher: Publisher, tmp_path: Path
) -> None:
    rotate(publisher.repository(), "root", at_once=at_once)
    if not at_once:
        revoke(publisher.repository(), "root", key=ids(publisher, "root")[0])
    found = roots(publisher)
    for before, after in itertools.pairwise(found):
        for judge in (before.signed, after.signed):
            judge.verify_delegate("root", after.signed_bytes, after.signatures)
    assert sees(publisher, tmp_path / "m") == {"1.0"}


def run(name: str, publisher: Publisher) -> object:
    """One ceremony by its name."""
    verb, role = name.split()
    known = next(r for r in ROLES if r == role)
    if verb == "revoke":
        key = ids(publisher, "root")[0] if known == "root" else None
        return revoke(publisher.repository(), known, key=key)
    return rotate(publisher.repository(), known, at_once=verb == "replace")


CEREMONIES = [f"{verb} {role}" for verb in ("rotate", "replace", "revoke") for role in ROLES]


@pytest.mark.crash
@pytest.mark.parametrize("name", CEREMONIES)
def test_a_ceremony_that_is_killed_anywhere_leaves_what_clients_accept(
    name: str, publisher: Publisher, tmp_path: Path
) -> None:
    """Before, half-way or after; then the command is simply run again, or was done."""
    if name.startswith("revoke"):
        run(name.replace("revoke", "rotate"), publisher)
    sees(publisher, tmp_path / "memory")
    shutil.copytree(publisher.keys.folder, tmp_path / "keys")
    for n, lived in enumerate(killed_everywhere(publisher, tmp_path, lambda: run(name, publisher))):
        memory = shutil.copytree(tmp_path / "memory", tmp_path / f"{n}", symlinks=True)
        assert sees(publisher, memory) == sees(publisher, tmp_path / f"fresh-{n}") == {"1.0"}
        if not lived:
            again(name, publisher)
            assert set(ids(publisher, "channels.notes")) == set(ids(publisher, "timestamp"))
            publisher.promote("1.0")
            assert sees(publisher, memory) == sees(publisher, tmp_path / f"f-{n}") == {"1.0"}
        shutil.rmtree(publisher.keys.folder)
        shutil.copytree(tmp_path / "keys", publisher.keys.folder)
    assert n >= 3, "every write of it was interrupted"


def again(name: str, publisher: Publisher) -> None:
    try:
        run(name, publisher)
    except InstallError as error:  # it was done: what was to end has ended
        words = ("last one", "begin with", "which root key")
        assert any(word in str(error) for word in words)  # noqa: PT017


@pytest.mark.crash
@pytest.mark.parametrize("role", ["online", "targets"])
def test_a_proposal_whose_publishing_was_killed_anywhere_is_simply_published_again(
    role: Role, publisher: Publisher, tmp_path: Path
) -> None:
    """Its channels would stay with the old online key, and the proposal look like a forgery."""
    sees(publisher, tmp_path / "memory")
    roots = publisher.keys.paths("root")
    for path in roots:
        path.rename(tmp_path / path.name)
    proposed = rotate(publisher.repository(), role, propose=True).proposal
    for path in roots:
        (tmp_path / path.name).rename(path)
    assert proposed is not None
    proposal = proposed.signed(publisher.keys.signers("root"))
    shutil.copytree(publisher.keys.folder, tmp_path / "keys")
    for n, _ in enumerate(
        killed_everywhere(
            publisher, tmp_path, lambda: publish_root(publisher.repository(), proposal)
        )
    ):
        memory = shutil.copytree(tmp_path / "memory", tmp_path / f"{n}", symlinks=True)
        assert sees(publisher, memory) == {"1.0"}
        for _ in range(2):
            publish_root(publisher.repository(), proposal)
        assert set(ids(publisher, "channels.notes")) == set(ids(publisher, "timestamp"))
        publisher.promote("1.0")
        assert sees(publisher, memory) == sees(publisher, tmp_path / f"f-{n}") == {"1.0"}
        shutil.rmtree(publisher.keys.folder)
        shutil.copytree(tmp_path / "keys", publisher.keys.folder)
    assert n >= 1


@pytest.mark.parametrize("wiped", [False, True])
def test_a_fast_forwarded_timestamp_is_recovered_from_by_ending_its_key(
    wiped: bool, publisher: Publisher, tmp_path: Path
) -> None:
    """Faults B16. While the stolen key may sign, clients keep what it has signed."""
    memory = tmp_path / "m"
    honest = fast_forward(publisher, "timestamp", HIGHEST)
    sees(publisher, memory)
    (publisher.folder / "metadata/timestamp.json").write_bytes(honest)
    if wiped:
        for path in memory.glob("*.json"):
            path.unlink()
    else:
        with pytest.raises(TransportError, match="older state"):
            sees(publisher, memory)
        rotate(publisher.repository(), "online")
        with pytest.raises(TransportError, match="older state"):
            sees(publisher, memory)
    rotate(publisher.repository(), "online", at_once=True)
    publisher.release("2.0", TWO)
    assert sees(publisher, memory) == sees(publisher, tmp_path / "new") == {"1.0", "2.0"}


def test_fast_forwarded_releases_are_recovered_from_by_ending_their_key(
    publisher: Publisher, tmp_path: Path
) -> None:
    """A thief of release and online key, and clients who remember the highest version."""
    honest = shutil.copytree(publisher.folder, tmp_path / "honest")
    repository = publisher.repository()
    repository.renew(["app.notes"], at_least=HIGHEST)
    sees(publisher, tmp_path / "m")
    shutil.rmtree(publisher.folder)
    shutil.copytree(honest, publisher.folder)
    with pytest.raises(TransportError, match="older state"):
        sees(publisher, tmp_path / "m")
    rotate(publisher.repository(), "online", at_once=True)
    with pytest.raises(TrustError, match="app role is offered"):
        sees(publisher, tmp_path / "m")
    rotate(publisher.repository(), "release", at_once=True)
    publisher.release("2.0", TWO)
    assert sees(publisher, tmp_path / "m") == {"1.0", "2.0"}


def test_a_key_that_joins_makes_clients_forget_nothing(
    publisher: Publisher, tmp_path: Path
) -> None:
    """Else the moment of a rotation is one in which a stolen online key rolls releases back."""
    publisher.release("2.0", TWO)
    memory = tmp_path / "m"
    sees(publisher, memory)
    rotate(publisher.repository(), "release")
    publisher.repository().publish("channels.notes", [])

    def back(metadata: Metadata[Any]) -> None:
        metadata.signed.meta["app.notes.json"].version = 2  # before 2.0 was added

    rewrite(newest(publisher, "snapshot"), back, *publisher.keys.signers("online"))
    for path in memory.glob("*.json"):
        path.unlink()
    with pytest.raises(TrustError, match="app role is offered"):
        sees(publisher, memory)


def test_an_application_installed_before_five_root_rotations_still_updates(
    publisher: Publisher, tmp_path: Path, session: Session, url: str
) -> None:
    """Every root between has expired; all keys but those of the first root are others by now."""
    first = publisher.root
    install(tmp_path / "app", url, first, "notes", session=session)
    for _ in range(5):
        publisher.now += 800 * DAY
        rotate(publisher.repository(), "root", at_once=True)
    for role in ROLES[1:]:
        rotate(publisher.repository(), role, at_once=True)
    refresh(publisher.repository())
    publisher.release("2.0", TWO)
    assert Updater(tmp_path / "app", session).update()
    assert read_tree(tmp_path / "app") == TWO
    install(tmp_path / "new", url, first, "notes", session=session)
    found = roots(publisher)
    assert len(found) > 10
    expired = [r for r in found[1:-1] if r.signed.expires.timestamp() < publisher.now]
    assert len(expired) >= 8
    assert not set(found[0].signed.keys) & set(found[-1].signed.keys)


def other_number(publisher: Publisher, number: int) -> None:
    """A root under the number of the next, which says that it is another; signed by all."""
    path = publisher.folder / "metadata/2.root.json"
    path.write_bytes(publisher.root)

    def say(metadata: Metadata[Any]) -> None:
        metadata.signed.version = number

    rewrite(path, say, *publisher.keys.signers("root"))


@pytest.mark.parametrize("number", [1, 3])
def test_a_root_that_repeats_or_skips_a_number_is_refused_and_not_kept(
    number: int, publisher: Publisher, tmp_path: Path
) -> None:
    """CVE-2025-2885; and at the next start nothing is left of it."""
    sees(publisher, tmp_path / "old")
    other_number(publisher, number)
    for memory in ("old", "old", "new"):
        with pytest.raises(TrustError):
            sees(publisher, tmp_path / memory)
    (publisher.folder / "metadata/2.root.json").unlink()
    rotate(publisher.repository(), "online")
    assert sees(publisher, tmp_path / "old") == sees(publisher, tmp_path / "new") == {"1.0"}


@pytest.mark.parametrize("role", ROLES)
def test_a_lost_key_is_replaced_without_it(
    role: Role, publisher: Publisher, tmp_path: Path
) -> None:
    sees(publisher, tmp_path / "old")
    lost = max(publisher.keys.folder.glob(f"{role}*.pem"))
    (keyid,) = [publisher.keys.load(role, lost).public_key.keyid]
    lost.unlink()
    rotate(publisher.repository(), role)
    revoke(publisher.repository(), role, key=keyid[:8])
    publisher.release("2.0", TWO)
    assert sees(publisher, tmp_path / "old") == sees(publisher, tmp_path / "new") == {"1.0", "2.0"}


def test_a_key_made_elsewhere_is_the_one_that_joins(publisher: Publisher) -> None:
    Keys(publisher.folder.parent / "other", PASSWORD).make_missing(threshold=1)
    brought = publisher.keys.folder / "release-new.pem"
    shutil.copy2(publisher.folder.parent / "other/release.pem", brought)
    done = rotate(publisher.repository(), "release")
    assert done.made == ()
    keyid = publisher.keys.load("release", brought).public_key.keyid
    assert publisher.repository().look().keys_of("app.notes")[-1].keyid == keyid


def refused(publisher: Publisher, command: Callable[[], Done], match: str) -> InstallError:
    """Its error; the repository and the key files are as before."""
    before, keys = files(publisher.folder), files(publisher.keys.folder)
    with pytest.raises(InstallError, match=match) as caught:
        command()
    assert files(publisher.folder) == before
    assert files(publisher.keys.folder) == keys
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("role", ["targets", "release", "online"])
def test_the_last_key_of_a_role_does_not_end(role: Role, publisher: Publisher) -> None:
    error = refused(publisher, lambda: revoke(publisher.repository(), role), "is the last one")
    assert "--at-once" in error.hint


def test_root_keys_do_not_end_below_their_threshold(publisher: Publisher) -> None:
    revoke(publisher.repository(), "root", key=ids(publisher, "root")[0])
    refused(
        publisher,
        lambda: revoke(publisher.repository(), "root", key=ids(publisher, "root")[0]),
        "1 root key cannot meet a threshold of 2",
    )


def ids(publisher: Publisher, role: str) -> list[str]:
    return [key.keyid for key in publisher.repository().look().keys_of(role)]


def test_a_threshold_nobody_can_meet_is_refused(publisher: Publisher) -> None:
    with pytest.raises(InstallError, match="4 root keys cannot meet a threshold of 5"):
        rotate(publisher.repository(), "root", threshold=5)
    rotate(publisher.repository(), "root", threshold=3)
    assert roots(publisher)[-1].signed.roles["root"].threshold == 3


@pytest.mark.parametrize("role", ["root", "targets", "release", "online"])
def test_one_key_has_one_role(role: Role, publisher: Publisher) -> None:
    other = "release" if role == "online" else "online"
    shutil.copy2(publisher.keys.folder / f"{other}.pem", publisher.keys.folder / f"{role}-x.pem")
    refused(
        publisher,
        lambda: rotate(publisher.repository(), role),
        rf"the ({role}|{other}) key \w+ is the ({role}|{other}) key too",
    )


def test_one_key_has_one_role_from_the_beginning(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", PASSWORD)
    keys.make_missing(threshold=1)
    shutil.copy2(tmp_path / "keys/release.pem", tmp_path / "keys/online.pem")
    with pytest.raises(InstallError, match=r"the \w+ key \w+ is the \w+ key too"):
        Repository(tmp_path / "r", keys, 0).create("notes", threshold=1)
    assert not (tmp_path / "r/metadata/1.root.json").exists()


def test_a_key_that_ended_does_not_come_back(publisher: Publisher) -> None:
    old = (publisher.keys.folder / "release.pem").read_bytes()
    rotate(publisher.repository(), "release", at_once=True)
    (publisher.keys.folder / "release.pem").write_bytes(old)
    (publisher.keys.folder / "release.pem").chmod(0o600)
    ended = publisher.keys.load("release", publisher.keys.folder / "release.pem")
    done = rotate(publisher.repository(), "release")
    assert len(done.made) == 1
    assert ended.public_key.keyid not in ids(publisher, "app.notes")


@pytest.mark.parametrize(("digits", "words"), [("", "which root key"), ("zzzz", "root keys begin")])
def test_a_key_is_named_so_that_it_is_the_only_one(
    digits: str, words: str, publisher: Publisher
) -> None:
    error = refused(publisher, lambda: revoke(publisher.repository(), "root", key=digits), words)
    assert all(keyid[:8] in error.hint for keyid in ids(publisher, "root"))


NEEDED: list[tuple[Role, Sequence[str]]] = [
    ("root", ["root"]),
    ("targets", ["root"]),
    ("release", ["targets", "online"]),
    ("online", ["root", "targets"]),
]


@pytest.mark.parametrize(("role", "missing"), [(r, m) for r, needed in NEEDED for m in needed])
def test_without_the_keys_it_needs_a_ceremony_makes_and_changes_nothing(
    role: Role, missing: str, publisher: Publisher
) -> None:
    for path in publisher.keys.folder.glob(f"{missing}*.pem"):
        path.unlink()
    refused(publisher, lambda: rotate(publisher.repository(), role), f"no {missing} key in")


@pytest.mark.parametrize("role", ROLES)
def test_a_wrong_password_changes_nothing(role: Role, publisher: Publisher) -> None:
    publisher.keys = Keys(publisher.keys.folder, {"UPSWAP_KEY_PASSWORD": "wrong"})
    refused(publisher, lambda: rotate(publisher.repository(), role), "cannot be opened")


def test_nothing_is_done_at_once_if_others_must_sign(publisher: Publisher) -> None:
    for n in (1, 2):
        (publisher.keys.folder / f"root-{n}.pem").unlink()
    refused(
        publisher,
        lambda: rotate(publisher.repository(), "online", at_once=True, propose=True),
        "not all root signatures",
    )


def test_an_app_the_repository_does_not_know_is_told_by_name(publisher: Publisher) -> None:
    refused(publisher, lambda: rotate(publisher.repository(), "release", app="noets"), "noets")
