"""What others do to a repository while a release is built for it; nobody waits for a build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from patchtool.ceremonies.rotation import revoke, rotate
from patchtool.diff.options import Options
from patchtool.keys.signing_keys import Keys
from patchtool.release.add_release import Added, add_release, draft_release
from patchtool.release.apps import add_app, remove_app
from patchtool.release.recall import Recalled, recall
from patchtool.release.refresh import refresh
from patchtool.release.release_toml import Description
from patchtool.release.rollout import pause, promote, resume
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.repository_folder import Author
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.stored_files import needed
from patchtool.repository.writer import name_writer
from patchtool.upkeep.prune import prune
from patchtool.upkeep.sync import sync
from patchtool.upkeep.unpublished import signed_since

from tests.support.repository.litter import litter
from tests.support.repository.publisher import PASSWORD, Publisher, publish
from tests.support.trees.trees import Tree, noise, write_tree
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError, NotEnoughSpace, PatchError
from updater.format.release_description import Release

BIG = noise(20_000)
Act = Callable[[], object]


def tree(n: int) -> Tree:
    """Release number ``n``: a patch between two of them is far smaller than a bundle."""
    return {"app": b"%d" % n, "data": BIG}


class Meanwhile:
    """Progress of a build, in the middle of which somebody else acts, once."""

    def __init__(self, act: Act) -> None:
        self._acts = [act]

    def start(self, _task: str, _total: int) -> None:
        if self._acts:
            self._acts.pop()()

    def advance(self, _done: int) -> None:
        """Nobody looks."""

    def finish(self) -> None:
        """Nobody looks."""


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    for n, version in enumerate(["1.0", "1.1"]):
        publisher.release(version, tree(n))
    return publisher


def add(
    publisher: Publisher,
    act: Act,
    folder: Path,
    *,
    version: str = "2.0",
    bases: list[str] | None = None,
) -> Added | None:
    """Add 2.0 while somebody acts."""
    repository = publisher.repository()
    draft = draft_release(repository, "notes", version, folder, Description(Release()))
    options = Options(effort="fast", jobs=1, progress=Meanwhile(act))
    return add_release(repository, draft, bases=bases, options=options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "release", tree(7))


def releases(publisher: Publisher) -> Releases:
    return Releases.of(publisher.repository().look(), "notes")


@pytest.mark.parametrize("command", ["pause", "promote", "recall", "refresh", "prune", "sync"])
def test_an_urgent_command_does_not_wait_for_a_build(
    command: str, publisher: Publisher, folder: Path, tmp_path: Path
) -> None:
    repository, now = publisher.repository(), publisher.now
    copy = Repository(tmp_path / "copy", publisher.keys, now)
    commands: dict[str, Act] = {
        "pause": lambda: pause(repository, "notes", "stable", "1.1", now=now),
        "promote": lambda: promote(repository, "notes", "stable", "1.0", now=now),
        "recall": lambda: recall(repository, "notes", "1.1", now=now),
        "refresh": lambda: refresh(repository, at_least=100),
        "prune": lambda: prune(repository),
        "sync": lambda: sync(repository, copy),
    }
    assert add(publisher, commands[command], folder) is not None
    assert releases(publisher).versions == {"1.0", "1.1", "2.0"}
    assert litter(publisher.folder) == []


def test_the_same_release_that_somebody_else_added_meanwhile_is_there(
    publisher: Publisher, folder: Path
) -> None:
    assert add(publisher, lambda: publisher.add("2.0", tree(7)), folder) is None
    assert litter(publisher.folder) == []


@pytest.mark.parametrize("version", ["2.0", "2.0.0"])
def test_the_version_that_somebody_else_took_meanwhile_is_refused(
    version: str, publisher: Publisher, folder: Path
) -> None:
    with pytest.raises(FormatError, match=r"published with other content|the same version"):
        add(publisher, lambda: publisher.add(version, tree(8)), folder)
    assert releases(publisher).versions == {"1.0", "1.1", version}
    assert litter(publisher.folder) == []


def test_a_release_that_came_meanwhile_gets_a_patch_too(publisher: Publisher, folder: Path) -> None:
    done = add(publisher, lambda: publisher.add("1.2", tree(8)), folder)
    assert done is not None
    assert set(done.patches) == {"1.0", "1.1", "1.2"}
    assert releases(publisher).has_patch("1.2", "2.0")


def test_whoever_has_a_base_that_was_recalled_meanwhile_gets_a_patch_as_well(
    publisher: Publisher, folder: Path
) -> None:
    def act() -> None:
        recall(publisher.repository(), "notes", "1.1", now=publisher.now)

    done = add(publisher, act, folder)
    assert done is not None
    assert set(done.patches) == {"1.0", "1.1"}


def test_a_base_that_was_pruned_meanwhile_makes_a_patch_no_worse(
    publisher: Publisher, folder: Path
) -> None:
    def act() -> None:
        repository = publisher.repository()
        names = [name for name in releases(publisher).targets if "/1.0/" in name]
        with repository.writing(releases=True):
            repository.publish("app.notes", [], gone=names)

    done = add(publisher, act, folder, bases=["1.0"])
    assert done is not None
    assert set(done.patches) == {"1.0"}
    assert releases(publisher).versions == {"1.1", "2.0"}


def test_a_release_key_that_ended_meanwhile_publishes_nothing(
    publisher: Publisher, folder: Path
) -> None:
    def act() -> None:
        rotate(publisher.repository(), "release", at_once=True)

    with pytest.raises(InstallError, match="the release key is not the one"):
        add(publisher, act, folder)
    assert releases(publisher).versions == {"1.0", "1.1"}
    assert litter(publisher.folder) == []


def test_an_app_that_went_meanwhile_is_told(publisher: Publisher, folder: Path) -> None:
    def act() -> None:
        add_app(publisher.repository(), "draw")
        remove_app(publisher.repository(), "notes")

    with pytest.raises(InstallError, match=r"does not know app\.notes"):
        add(publisher, act, folder)


def test_a_repository_that_was_handed_over_meanwhile_waits_for_its_server(
    publisher: Publisher, folder: Path
) -> None:
    before = publisher.repository().look().versions()["app.notes"]
    done = add(publisher, lambda: name_writer(Disk(), publisher.folder, "server"), folder)
    assert done is not None
    assert signed_since(publisher.folder, before, "notes") == [before + 1]
    assert releases(publisher).versions == {"1.0", "1.1", "2.0"}


def test_a_folder_that_changes_while_it_is_built_is_not_published(
    publisher: Publisher, folder: Path
) -> None:
    with pytest.raises(PatchError, match="does not give the new release"):
        add(publisher, lambda: (folder / "app").write_bytes(b"?"), folder)
    assert litter(publisher.folder) == []


def test_what_is_published_bears_the_time_of_its_publishing(
    publisher: Publisher, folder: Path
) -> None:
    author = Author(clock=lambda: publisher.now)
    repository = Repository(publisher.folder, publisher.keys, publisher.now, author=author)

    def act() -> None:
        publisher.now += 900

    draft = draft_release(repository, "notes", "2.0", folder, Description(Release()))
    add_release(repository, draft, options=Options(effort="fast", progress=Meanwhile(act)))
    assert int(repository.now.timestamp()) == publisher.now


# recall --patch


def go_back(publisher: Publisher, act: Act) -> Recalled | None:
    options = Options(effort="fast", jobs=1, progress=Meanwhile(act))
    repository = publisher.repository()
    return recall(repository, "notes", "1.1", now=publisher.now, patches=options)


def test_a_recall_is_seen_before_its_patches_are_built(publisher: Publisher) -> None:
    seen = []
    done = go_back(publisher, lambda: seen.append(releases(publisher).recalled))
    assert done is not None
    assert seen == [{"1.1"}]
    assert set(done.patches) == {"1.0"}
    assert litter(publisher.folder) == []


def test_installs_get_a_patch_to_what_is_offered_when_it_is_built(publisher: Publisher) -> None:
    def act() -> None:
        publisher.release("1.2", tree(3))

    done = go_back(publisher, act)
    assert done is not None
    assert done.channels == {"stable": "1.2"}
    assert releases(publisher).has_patch("1.1", "1.2")


def test_a_goal_that_was_recalled_meanwhile_gets_no_patch(publisher: Publisher) -> None:
    def act() -> None:
        recall(publisher.repository(), "notes", "1.0", now=publisher.now)

    done = go_back(publisher, act)
    assert done is not None
    assert (done.channels, done.patches) == ({"stable": None}, {})
    assert not releases(publisher).has_patch("1.1", "1.0")
    assert litter(publisher.folder) == []


def test_a_recall_whose_patches_fail_holds_and_says_so(publisher: Publisher) -> None:
    def full() -> None:
        raise NotEnoughSpace("no space left on device", hint="free some disk space")

    with pytest.raises(NotEnoughSpace) as caught:
        go_back(publisher, full)
    assert caught.value.hint == "1.1 is recalled all the same; free some disk space"
    assert releases(publisher).recalled == {"1.1"}
    assert litter(publisher.folder) == []


# Copies


class Slow(Disk):
    """A disk on which something happens while it copies."""

    def __init__(self, act: Act) -> None:
        self._acts = [act]

    def copy(self, source: Path, path: Path, **how: bool) -> None:
        if self._acts:
            self._acts.pop()()
        super().copy(source, path, **how)


def test_a_repository_is_copied_as_it_was_and_nobody_waits(
    publisher: Publisher, tmp_path: Path
) -> None:
    before = needed(publisher.repository().look())
    disk = Slow(lambda: publisher.release("1.2", tree(3)))
    copy = Repository(tmp_path / "copy", publisher.keys, publisher.now, disk)
    sync(publisher.repository(), copy)
    assert needed(Snapshot.read(copy.folder)) == before
    sync(publisher.repository(), copy)
    assert needed(Snapshot.read(copy.folder)) == needed(publisher.repository().look())


def test_resuming_while_a_release_is_built_is_no_harm(publisher: Publisher, folder: Path) -> None:
    repository, now = publisher.repository(), publisher.now
    pause(repository, "notes", "stable", "1.1", now=now)
    done = add(publisher, lambda: resume(repository, "notes", "stable", "1.1", now=now), folder)
    assert done is not None
    assert publish(repository, "2.0", folder) is None


# Passwords


URGENT: dict[str, Callable[[Repository, int], object]] = {
    "promote": lambda repository, now: promote(repository, "notes", "stable", "1.0", now=now),
    "pause": lambda repository, now: pause(repository, "notes", "stable", "1.1", now=now),
    "recall": lambda repository, now: recall(repository, "notes", "1.1", now=now),
    "refresh": lambda repository, _: refresh(repository, at_least=100),
    "prune": lambda repository, _: prune(repository),
    "apps add": lambda repository, _: add_app(repository, "draw"),
    "rotate": lambda repository, _: rotate(repository, "online"),
    "revoke": lambda repository, _: revoke(repository, "online"),
}


@pytest.mark.parametrize("name", URGENT)
def test_nobody_waits_while_a_person_types_a_password(name: str, publisher: Publisher) -> None:
    if name == "revoke":
        rotate(publisher.repository(), "online")
    asked = []

    def ask(what: str) -> str:
        with publisher.repository().held():  # or it is refused
            asked.append(what)
        return PASSWORD["UPSWAP_KEY_PASSWORD"]

    keys = Keys(publisher.keys.folder, {}, ask)
    URGENT[name](Repository(publisher.folder, keys, publisher.now), publisher.now)
    assert asked
