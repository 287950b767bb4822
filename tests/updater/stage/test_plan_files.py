"""From a staged tree to steps: their order, their names, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.crash.crash_disk import manifest_of
from tests.support.trees.tree_strategies import pairs
from tests.support.trees.trees import Content, Exe, Link, Tree, write_tree
from updater.disk.spare_names import NAME_BYTES
from updater.errors import InstallError
from updater.format.manifest import File, Manifest
from updater.launch.commit.journal import Action, Step
from updater.stage.plan_files import StepPlan

PUT, REMOVE, MKDIR = Action.PUT, Action.REMOVE, Action.MKDIR
SET_ASIDE, RMDIR = Action.SET_ASIDE, Action.RMDIR


class Case:
    """A live tree, what is installed by the manifest, and what shall be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.install = folder / "app"

    def plan(
        self,
        old: dict[str, Content],
        new: dict[str, Content],
        *,
        users: dict[str, Content] | None = None,
        changed: frozenset[str] = frozenset(),
        entry: tuple[str, ...] = (),
    ) -> list[Step]:
        """The steps from ``old``, over which ``users`` lies, to ``new``."""
        write_tree(self.install, {**old, **(users or {})})
        before = manifest_of(self.folder, "1.0", old)
        after = manifest_of(self.folder, "2.0", new, entry=entry)
        staged = differing(before, after)
        return list(StepPlan(self.install, before, after, staged, changed).steps())


def differing(before: Manifest, after: Manifest) -> dict[str, int]:
    """Numbers for what must be staged."""
    paths = [
        path
        for path, entry in after.by_path.items()
        if before.by_path.get(path) != entry and path not in after.directories
    ]
    return {path: number for number, path in enumerate(paths)}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A new one."""
    return Case(tmp_path)


def brief(steps: list[Step]) -> list[tuple[Action, str]]:
    """Actions and paths."""
    return [(step.action, step.path) for step in steps]


def step_at(steps: list[Step], path: str, action: Action) -> Step:
    """The one step of a kind at a path."""
    (step,) = (step for step in steps if (step.path, step.action) == (path, action))
    return step


def test_steps_come_in_the_order_in_which_they_can_be_done(case: Case) -> None:
    steps = case.plan(
        {
            "app": Exe(b"1"),
            "box/it": b"folder to file",
            "gone/deep/f": b"gone",
            "way": b"file to folder",
        },
        {"app": Exe(b"2"), "box": b"file", "new/f": b"new", "way/deep/f": b"folder"},
        entry=("app",),
    )
    assert brief(steps) == [
        (REMOVE, "way"),
        (MKDIR, "new"),
        (MKDIR, "way"),
        (MKDIR, "way/deep"),
        (PUT, "new/f"),
        (PUT, "way/deep/f"),
        (REMOVE, "box/it"),
        (REMOVE, "gone/deep/f"),
        (SET_ASIDE, "box"),
        (PUT, "box"),
        (PUT, "app"),
        (RMDIR, "gone/deep"),
        (RMDIR, "box"),
        (RMDIR, "gone"),
    ]


def plan_of(folder: Path, old: Tree, new: Tree, entries: tuple[tuple[str, ...], ...]) -> list[Step]:
    """The steps between two releases with these entries."""
    before = manifest_of(folder, "1.0", old, entry=entries[0])
    after = manifest_of(folder, "2.0", new, entry=entries[1])
    write_tree(folder / "app", old)
    staged = differing(before, after)
    return list(StepPlan(folder / "app", before, after, staged, frozenset()).steps())


@pytest.mark.parametrize("entries", [(("a-start",), ()), ((), ("a-start",))])
def test_what_starts_the_application_is_put_last(
    tmp_path: Path, entries: tuple[tuple[str, ...], ...]
) -> None:
    old: Tree = {"a-start": Exe(b"1"), "b": b"1", "z": b"1"}
    new: Tree = {"a-start": Exe(b"2"), "b": b"2", "z": b"2"}
    steps = plan_of(tmp_path, old, new, entries)
    assert [step.path for step in steps] == ["b", "z", "a-start"]


def test_a_script_that_the_entry_names_comes_right_before_its_executable(tmp_path: Path) -> None:
    old: Tree = {"main.py": b"1", "python": Exe(b"1"), "z": b"1"}
    new: Tree = {"main.py": b"2", "python": Exe(b"2"), "z": b"2"}
    steps = plan_of(tmp_path, old, new, (("python", "main.py"),) * 2)
    assert [step.path for step in steps] == ["z", "main.py", "python"]


def test_an_executable_of_the_old_release_goes_when_the_new_one_is_there(tmp_path: Path) -> None:
    steps = plan_of(
        tmp_path, {"a": Exe(b"1"), "b": b"1"}, {"c": Exe(b"2"), "d": b"2"}, (("a",), ("c",))
    )
    assert brief(steps) == [(PUT, "d"), (REMOVE, "b"), (PUT, "c"), (REMOVE, "a")]


def executables(tree: Tree) -> list[tuple[str, ...]]:
    """The entries a release of ``tree`` may have."""
    return [(), *((path,) for path, content in tree.items() if isinstance(content, Exe))]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(pairs(), st.data())
def test_nothing_else_changes_once_the_new_executable_is_there(
    pair: tuple[Tree, Tree], data: st.DataObject
) -> None:
    old, new = ({p: Exe(c) if isinstance(c, bytes) else c for p, c in t.items()} for t in pair)
    entries = [data.draw(st.sampled_from(some)) for some in (executables(old), executables(new))]
    with TemporaryDirectory() as folder:
        steps = plan_of(Path(folder), old, new, (entries[0], entries[1]))
    doing = [step for step in steps if step.action is not RMDIR]
    puts = [n for n, step in enumerate(doing) if (PUT, step.path) == (step.action, *entries[1])]
    for step in doing[puts[0] + 1 :] if puts else []:
        assert (step.action, step.path) == (REMOVE, *entries[0])


def test_nothing_is_done_for_what_stays(case: Case) -> None:
    tree: dict[str, Content] = {"a": b"a", "folder/b": Exe(b"b"), "l": Link("a"), "empty": None}
    assert case.plan(tree, tree, users={"mine": b"mine"}) == []


def test_old_content_keeps_a_name_beside_and_new_content_takes_one(case: Case) -> None:
    steps = case.plan({"d/f": b"1", "g": b"g"}, {"d/f": b"22", "new": b"new"})
    put = step_at(steps, "d/f", PUT)
    assert (put.incoming, put.aside, put.keep, put.size) == ("d/f.new", "d/f.old", False, 2)
    assert step_at(steps, "g", REMOVE).aside == "g.old"
    assert step_at(steps, "new", PUT).aside == "", "nothing was there"


def test_a_symlink_has_no_size(case: Case) -> None:
    assert case.plan({"a": b"a"}, {"a": b"a", "l": Link("a")})[0].size == -1


@pytest.mark.parametrize("taken", [b"x", Link("nowhere"), None])
def test_a_taken_name_is_left_alone(case: Case, taken: Content) -> None:
    steps = case.plan({"f": b"1"}, {"f": b"2"}, users={"f.old": taken, "f.new": taken})
    put = step_at(steps, "f", PUT)
    assert (put.incoming, put.aside) == ("f.new-1", "f.old-1")


def test_many_taken_names_are_left_alone(case: Case) -> None:
    users: dict[str, Content] = {"f.old": b"", "f.old-1": b"", "f.old-2": b"", "f.old-4": b""}
    assert step_at(case.plan({"f": b"1"}, {}, users=users), "f", REMOVE).aside == "f.old-3"


def test_a_name_is_taken_if_its_copy_in_the_making_would_be(case: Case) -> None:
    steps = case.plan({"f": b"1"}, {"f": b"2"}, users={"f.old.part": b"mine"})
    assert step_at(steps, "f", PUT).aside == "f.old-1"


@pytest.mark.parametrize("name", ["f.new", "f.old", "F.OLD", "f.old/deep"])
def test_names_of_the_new_release_are_taken_whatever_their_case(case: Case, name: str) -> None:
    put = step_at(case.plan({"f": b"1"}, {"f": b"2", name: b"released"}), "f", PUT)
    top = name.partition("/")[0].lower()
    assert top not in {put.incoming, put.aside}


def test_no_two_steps_use_one_name(case: Case) -> None:
    old: dict[str, Content] = {"f": b"1", "f.old": b"2", "F.new": b"3", "f.old-1": b"4"}
    steps = case.plan(old, {"f": b"11", "f.new": b"22"})
    names = [name.lower() for step in steps for name in (step.incoming, step.aside) if name]
    assert len(names) == len(set(names))
    assert not {"f", "f.new", "f.old", "f.old-1"} & set(names)


@pytest.mark.parametrize("letter", ["n", "é", "漢"])
def test_names_as_long_as_a_disk_takes_are_shortened(case: Case, letter: str) -> None:
    name = letter * (NAME_BYTES // len(letter.encode()))
    other = name[:-1]
    steps = case.plan({name: b"1", other: b"1"}, {name: b"2", other: b"2"})
    names = [part for step in steps for part in (step.incoming, step.aside)]
    assert len(set(names)) == 4
    for taken in names:
        (case.install / f"{taken}.part").write_bytes(b"the disk takes it")


def test_work_of_the_user_is_kept_and_nothing_else(case: Case) -> None:
    steps = case.plan(
        {"edited": b"1", "edited-gone": b"1", "ours": b"1", "ours-gone": b"1"},
        {"edited": b"2", "ours": b"2", "theirs": b"2", "folder/f": b"2"},
        users={"theirs": b"was here", "folder": b"was here"},
        changed=frozenset({"edited", "edited-gone"}),
    )
    assert {step.path for step in steps if step.keep} == {
        "edited",
        "edited-gone",
        "theirs",
        "folder",
    }


def test_a_folder_of_the_user_where_a_file_goes_is_set_aside_whole(case: Case) -> None:
    steps = case.plan({"a": b"a"}, {"a": b"a", "d": b"file"}, users={"d/deep/mine": b"mine"})
    assert brief(steps) == [(SET_ASIDE, "d"), (PUT, "d")]
    assert steps[0].aside == "d.old"
    assert steps[1].aside == ""


def test_only_folders_of_the_old_release_are_emptied(case: Case) -> None:
    steps = case.plan(
        {"a/b/f": b"1", "c": None, "d/f": b"1", "d/g": b"1"},
        {"d/f": b"1"},
        users={"mine/f": b"mine", "a/mine": b"mine"},
    )
    assert [step.path for step in steps if step.action is RMDIR] == ["a/b", "a", "c"]


def test_bytecode_of_changed_and_removed_modules_goes_with_them(case: Case) -> None:
    steps = case.plan(
        {"p/changed.py": b"1", "p/gone.py": b"1", "p/kept.py": b"1", "p/a[1].py": b"1"},
        {"p/changed.py": b"2", "p/kept.py": b"1", "p/a[1].py": b"2"},
        users={
            f"p/__pycache__/{name}.cpython-312{opt}.pyc": b"stale"
            for name in ("changed", "gone", "kept", "a[1]", "a1", "changed2", "mine")
            for opt in ("", ".opt-1")
        },
    )
    removed = {step.path for step in steps if step.action is REMOVE}
    assert removed == {"p/gone.py"} | {
        f"p/__pycache__/{name}.cpython-312{opt}.pyc"
        for name in ("changed", "gone", "a[1]")
        for opt in ("", ".opt-1")
    }
    assert not any(step.keep for step in steps)
    assert (RMDIR, "p/__pycache__") in brief(steps)


def test_bytecode_that_is_released_is_a_file_like_any_other(case: Case) -> None:
    compiled = "__pycache__/m.cpython-312.pyc"
    old: dict[str, Content] = {"m.py": b"1", compiled: b"1"}
    steps = case.plan(old, {"m.py": b"2", compiled: b"2"})
    assert brief(steps) == [(PUT, compiled), (PUT, "m.py")]


def test_no_bytecode_is_removed_through_a_symlink(case: Case) -> None:
    outside = write_tree(case.folder / "outside", {"m.cpython-312.pyc": b"somebody's"})
    steps = case.plan({"m.py": b"1"}, {"m.py": b"2"}, users={"__pycache__": Link(str(outside))})
    assert brief(steps) == [(PUT, "m.py")]


@pytest.mark.parametrize(
    "new", [{"d/f": b"2", "g": b"2"}, {"g": b"2"}], ids=["it stays", "it goes away"]
)
def test_a_folder_of_the_install_that_is_a_symlink_is_refused(
    case: Case, new: dict[str, Content]
) -> None:
    outside = write_tree(case.folder / "outside", {"f": b"1"})
    old: dict[str, Content] = {"d/f": b"1", "g": b"1"}
    write_tree(case.install, {"d": Link(str(outside)), "g": b"1"})
    before, after = manifest_of(case.folder, "1.0", old), manifest_of(case.folder, "2.0", new)
    plan = StepPlan(case.install, before, after, differing(before, after), frozenset())
    with pytest.raises(InstallError, match="'d' is a symlink here") as caught:
        plan.steps()
    assert caught.value.hint
    assert (outside / "f").read_bytes() == b"1"


def test_a_released_symlink_that_becomes_a_folder_hides_what_it_points_to(case: Case) -> None:
    steps = case.plan(
        {"current": Link("lib"), "lib/f": b"1", "lib/deep/g": b"1"},
        {"current/f": b"2", "current/deep/g": b"2", "lib/f": b"1", "lib/deep/g": b"1"},
    )
    assert brief(steps) == [
        (REMOVE, "current"),
        (MKDIR, "current"),
        (MKDIR, "current/deep"),
        (PUT, "current/deep/g"),
        (PUT, "current/f"),
    ]
    assert [step.aside for step in steps if step.action is PUT] == ["", ""], "not lib/f"


def test_every_staged_file_is_put_once_by_its_number(case: Case) -> None:
    new: dict[str, Content] = {"a": b"1", "b/c": b"2", "d": Link("a")}
    steps = case.plan({}, new)
    puts = {step.path: step.stage for step in steps if step.action is PUT}
    assert puts == {"a": 0, "b/c": 1, "d": 2}


def test_planning_changes_nothing(case: Case) -> None:
    def listing() -> list[tuple[str, int]]:
        return sorted((str(p), p.lstat().st_mtime_ns) for p in case.install.rglob("*"))

    old: dict[str, Content] = {"f": b"1", "d/g": b"1"}
    write_tree(case.install, old)
    before = listing()
    manifests = manifest_of(case.folder, "1.0", old), manifest_of(case.folder, "2.0", {"f": b"2"})
    StepPlan(case.install, *manifests, {"f": 0}, frozenset()).steps()
    assert listing() == before


def test_the_test_trees_are_what_they_seem(case: Case) -> None:
    """`differing` stages files and symlinks, never folders."""
    before = manifest_of(case.folder, "1.0", {"d": None})
    after = manifest_of(case.folder, "2.0", {"d/f": b"1", "e": None})
    assert list(differing(before, after)) == ["d/f"]
    assert isinstance(after.by_path["d/f"], File)
