"""The journal: written once, durably; how far the commit came is its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash.crash_disk import (
    CountingDisk,
    FaultyDisk,
    Killed,
    World,
    manifest_of,
    prepare,
    world_of,
)
from tests.support.trees.trees import read_tree
from updater.disk.durable import Disk
from updater.errors import InstallError
from updater.launch.commit.journal import Action, Journal, Phase, Step, enter, named, phase_of, read
from updater.launch.commit.recover import recover
from updater.launch.state import State

JOURNAL = Journal(
    "1.0",
    "2.0",
    (
        Step(Action.MKDIR, "new"),
        Step(Action.PUT, "new/é", 3, "new/é.new", "new/é.old", keep=True, size=7, content="0" * 64),
        Step(Action.REMOVE, "gone", aside="gone.old-1"),
        Step(Action.SET_ASIDE, "folder", aside="folder.old"),
        Step(Action.RMDIR, "empty"),
    ),
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """An empty State."""
    folder = tmp_path / ".app.upswap"
    folder.mkdir()
    return State(tmp_path / "app", folder)


def test_what_is_read_is_what_was_written(state: State) -> None:
    JOURNAL.write(state)
    assert read(state.journal) == JOURNAL


def test_the_journal_is_there_whole_and_durable_or_not_at_all(state: State) -> None:
    disk = CountingDisk()
    JOURNAL.write(state.on(disk))
    assert disk.log[-1] == f"sync {state.folder}"
    assert disk.log.index(f"sync {state.journal}.part") < disk.log.index(f"replace {state.journal}")
    for at in range(1, disk.count + 1):
        state.journal.unlink(missing_ok=True)
        with pytest.raises(Killed):
            JOURNAL.write(state.on(FaultyDisk(kill=at)))
        assert phase_of(state) is (Phase.SWAPPING if at == disk.count else None)
        assert phase_of(state) is None or read(state.journal) == JOURNAL


def test_the_phase_is_the_name_and_entering_one_is_a_durable_rename(state: State) -> None:
    JOURNAL.write(state)
    content = state.journal.read_bytes()
    for phase in (Phase.SWAPPING, Phase.COMMITTED, Phase.UNDOING):
        disk = CountingDisk()
        before = phase_of(state)
        enter(state.on(disk), phase)
        assert phase_of(state) is phase
        assert named(state, phase).read_bytes() == content
        assert [path.name for path in state.folder.iterdir()] == [named(state, phase).name]
        renames = [f"replace {named(state, phase)}", f"sync {state.folder}"]
        assert disk.log == (renames if before is not phase else [])
    assert {named(state, phase).name for phase in Phase} == {
        "journal",
        "journal.done",
        "journal.mixed",
        "journal.revert",
        "journal.staged",
        "journal.undo",
    }


def test_without_a_journal_no_phase_is_entered(state: State) -> None:
    enter(state, Phase.UNDOING)
    assert phase_of(state) is None
    assert list(state.folder.iterdir()) == []


def test_every_action_and_every_field_has_a_name_that_recovery_of_a_later_version_can_read(
    state: State,
) -> None:
    JOURNAL.write(state)
    document = json.loads(state.journal.read_bytes())
    assert document["journal"] == 4
    assert [step["action"] for step in document["steps"]] == [
        "mkdir",
        "put",
        "remove",
        "set-aside",
        "rmdir",
    ]
    assert set(document["steps"][0]) == {
        "action",
        "path",
        "stage",
        "incoming",
        "aside",
        "keep",
        "size",
        "own",
        "disposable",
        "stays",
        "content",
        "was",
    }


@pytest.fixture
def interrupted(tmp_path: Path) -> World:
    """An install whose update was killed in the middle of its commit."""
    old = manifest_of(tmp_path, "1.0", {"a": b"1", "b": b"1"})
    new = manifest_of(tmp_path, "2.0", {"a": b"2", "b": b"2"})
    world = world_of(tmp_path / "world", old, {"a": b"1", "b": b"1"})
    prepare(Disk(), world, new, {"a": b"2", "b": b"2"}).write(world.state)
    return world


def refused(world: World) -> str:
    """The error of a recovery that must touch nothing."""
    disk = CountingDisk()
    before = read_tree(world.folder)
    with pytest.raises(InstallError) as caught:
        recover(world.state.on(disk))
    assert disk.log == []
    assert read_tree(world.folder) == before
    assert caught.value.hint
    return str(caught.value)


def test_a_journal_cut_anywhere_is_refused_and_nothing_touched(interrupted: World) -> None:
    journal = interrupted.state.journal
    whole = journal.read_bytes()
    for length in range(0, len(whole), 7):
        journal.write_bytes(whole[:length])
        assert str(journal) in refused(interrupted)


@pytest.mark.parametrize("phase", [Phase.SWAPPING, Phase.UNDOING, Phase.REVERTING])
def test_a_damaged_journal_is_refused_where_the_tree_may_be_mixed(
    interrupted: World, phase: Phase
) -> None:
    enter(interrupted.state, phase)
    named(interrupted.state, phase).write_bytes(b"\0" * 500)
    assert "is damaged" in refused(interrupted)


@pytest.mark.parametrize(
    "damage",
    [
        {"steps": None},
        {"steps": [None]},
        {"steps": [{"path": "a"}]},
        {"steps": [{"action": "put"}]},
        {"steps": [{"action": "explode", "path": "a"}]},
        {"steps": [{"action": "put", "path": "a", "more": 1}]},
        {"steps": "put"},
        {"old": ...},
        {"new": ...},
        {"journal": ...},
    ],
    ids=str,
)
def test_a_journal_of_another_shape_is_refused(interrupted: World, damage: dict[str, Any]) -> None:
    document = json.loads(interrupted.state.journal.read_bytes()) | damage
    document = {key: value for key, value in document.items() if value is not ...}
    interrupted.state.journal.write_text(json.dumps(document))
    refused(interrupted)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"journal"', "{}", "{" * 50, "[" * 100_000])
def test_a_journal_that_is_no_journal_is_refused(interrupted: World, text: str) -> None:
    interrupted.state.journal.write_text(text)
    refused(interrupted)


@pytest.mark.parametrize("number", [0, 3, 5, "4", None])
def test_a_journal_of_another_format_version_is_left_to_the_updater_that_knows_it(
    interrupted: World, number: object
) -> None:
    document = asdict(JOURNAL) | {"journal": number}
    interrupted.state.journal.write_text(json.dumps(document))
    assert "another version" in refused(interrupted)
