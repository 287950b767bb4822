"""What a list of changes makes of a tree: every source is read from the old one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, changes, manifests
from updater.errors import FormatError
from updater.format.changes import Change, Kind, Layout, directory_moves, moved
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import UNKNOWN, Digest
from updater.format.release_description import Release


def file(path: str, content: str = "", *, executable: bool = False) -> File:
    """A file; its content is its path unless said otherwise."""
    data = (content or path).encode()
    return File(path, len(data), Digest.of(data), executable)


def tree(*entries: Entry | str) -> Manifest:
    listed = [file(e) if isinstance(e, str) else e for e in entries]
    return Manifest.of("app", "1", listed)


def layout(old: Manifest, *listed: Change) -> Layout:
    return Layout(old, tuple(sorted(listed, key=lambda c: (c.kind, c.path.encode()))))


def result(old: Manifest, *listed: Change) -> dict[str, str]:
    """New path -> old path whose entry or old self stands there; "" for what is new."""
    slots = layout(old, *listed).slots
    assert all(path == slot.entry.path for path, slot in slots.items())
    return {path: slot.source or "" for path, slot in slots.items()}


def rename(source: str, path: str, size: int | None = None, *, executable: bool = False) -> Change:
    return Change(Kind.RENAME, path, source, size, executable)


def move(source: str, path: str) -> Change:
    return Change(Kind.MOVE_DIRECTORY, path, source)


def delete(path: str) -> Change:
    return Change(Kind.DELETE, path)


def add(path: str, size: int = 3) -> Change:
    return Change(Kind.ADD, path, size=size)


class TestSources:
    def test_no_changes_keep_everything(self) -> None:
        old = tree("a", Directory("b"), Symlink("c", "a"))
        assert result(old) == {"a": "a", "b": "b", "c": "c"}
        assert layout(old).manifest("app", "1", Release(), {}) == old

    def test_names_may_be_swapped(self) -> None:
        assert result(tree("a", "b"), rename("a", "b"), rename("b", "a")) == {"a": "b", "b": "a"}

    def test_names_may_be_handed_on_in_a_circle(self) -> None:
        circle = [rename("a", "b"), rename("b", "c"), rename("c", "a")]
        assert result(tree("a", "b", "c"), *circle) == {"b": "a", "c": "b", "a": "c"}

    def test_names_may_be_handed_on_in_a_chain(self) -> None:
        chain = [rename("a", "b"), rename("b", "c"), add("a")]
        assert result(tree("a", "b"), *chain) == {"b": "a", "c": "b", "a": ""}

    def test_a_copy_reads_what_is_deleted_or_renamed_beside_it(self) -> None:
        copies = [Change(Kind.COPY, "x", "a"), Change(Kind.COPY, "y", "b")]
        assert result(tree("a", "b"), *copies, delete("a"), rename("b", "c")) == {
            "x": "a",
            "y": "b",
            "c": "b",
        }

    def test_folders_may_be_swapped(self) -> None:
        old = tree("a/x", "b/y")
        assert result(old, move("a", "b"), move("b", "a")) == {"b/x": "a/x", "a/y": "b/y"}

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_of_changes_of_one_kind_does_not_matter(self, seed: int) -> None:
        listed = [rename("a", "b"), rename("b", "c"), rename("c", "a"), delete("d"), add("d")]
        turned = [*listed[seed:], *listed[:seed]]
        assert result(tree("a", "b", "c", "d"), *turned) == {"b": "a", "c": "b", "a": "c", "d": ""}


class TestDirectoryMoves:
    OLD = tree("d/a", "d/b", "d/sub/c", "other")

    def test_carry_all_that_stands_below(self) -> None:
        assert result(self.OLD, move("d", "e/f")) == {
            "e/f/a": "d/a",
            "e/f/b": "d/b",
            "e/f/sub/c": "d/sub/c",
            "other": "other",
        }

    def test_have_exceptions(self) -> None:
        listed = [move("d", "e"), rename("d/a", "d/a"), delete("d/b")]
        assert result(self.OLD, *listed) == {"d/a": "d/a", "e/sub/c": "d/sub/c", "other": "other"}

    def test_of_an_inner_folder_come_before_those_of_an_outer(self) -> None:
        assert result(self.OLD, move("d", "e"), move("d/sub", "s")) == {
            "e/a": "d/a",
            "e/b": "d/b",
            "s/c": "d/sub/c",
            "other": "other",
        }

    def test_take_whole_names_only(self) -> None:
        assert result(tree("dd/a", "d"), move("d", "e")) == {"dd/a": "dd/a", "d": "d"}

    def test_leave_an_entry_of_the_folder_s_own_name_alone(self) -> None:
        assert result(tree(Directory("d")), move("d", "e")) == {"d": "d"}

    def test_are_followed_by_edits_at_the_new_place(self) -> None:
        made = layout(
            self.OLD,
            move("d", "e"),
            Change(Kind.MODIFY, "e/a", size=9),
            Change(Kind.MODE, "e/b", executable=True),
        )
        assert made.slots["e/a"].source == "d/a"
        assert made.olds == {1: "d/a"}
        assert made.slots["e/b"].entry == File("e/b", 3, Digest.of(b"d/b"), executable=True)

    def test_may_merge_folders_that_share_no_name(self) -> None:
        assert result(tree("a/x", "b/y"), move("a", "b")) == {"b/x": "a/x", "b/y": "b/y"}

    @SETTINGS
    @given(manifests(), changes())
    def test_move_by_the_innermost_folder(self, old: Manifest, listed: tuple[Change, ...]) -> None:
        moves = directory_moves(listed)
        for path in old.by_path:
            above = [source for source in moves if path.startswith(source + "/")]
            inner = max(above, key=len, default="")
            want = moves[inner] + path[len(inner) :] if inner else path
            assert moved(path, moves) == want


class TestContent:
    def test_a_new_file_is_decoded(self) -> None:
        slot = layout(tree(), Change(Kind.ADD, "a", size=3, executable=True)).slots["a"]
        assert slot.entry == File("a", 3, UNKNOWN, executable=True)
        assert (slot.source, slot.change) == (None, 0)

    def test_an_empty_file_needs_no_block(self) -> None:
        made = layout(tree(), add("a", 0))
        assert made.slots["a"].entry == File("a", 0, Digest.of(b""))
        assert made.manifest("app", "2", Release(), {}).by_path["a"] == File("a", 0, Digest.of(b""))

    @pytest.mark.parametrize("kind", [Kind.MODIFY, Kind.REPLACE])
    def test_an_edited_file_has_an_old_self(self, kind: Kind) -> None:
        made = layout(tree("a", "b"), Change(kind, "b", size=5, executable=True))
        assert made.slots["b"].entry == File("b", 5, UNKNOWN, executable=True)
        assert made.slots["b"].change == 0
        assert made.olds == {0: "b"}

    def test_a_renamed_file_may_be_edited(self) -> None:
        made = layout(tree("a"), rename("a", "b", 7))
        assert made.slots["b"].entry == File("b", 7, UNKNOWN)
        assert (made.slots["b"].source, made.slots["b"].change) == ("a", 0)
        assert made.olds == {0: "a"}

    def test_a_copy_may_be_edited_by_a_second_change(self) -> None:
        made = layout(tree("a"), Change(Kind.COPY, "b", "a"), Change(Kind.MODIFY, "b", size=7))
        assert made.slots["b"].entry == File("b", 7, UNKNOWN)
        assert made.olds == {0: "a", 1: "a"}

    def test_a_renamed_or_copied_file_takes_the_mode_of_its_change(self) -> None:
        old = tree(file("a", executable=True), file("b"))
        made = layout(old, rename("a", "x"), rename("b", "y", executable=True))
        assert made.slots["x"].entry == File("x", 1, Digest.of(b"a"), executable=False)
        assert made.slots["y"].entry == File("y", 1, Digest.of(b"b"), executable=True)

    def test_a_symlink_and_an_empty_folder_may_be_renamed(self) -> None:
        old = tree(Symlink("l", "t"), Directory("d"))
        made = layout(old, rename("l", "m"), rename("d", "e"))
        assert made.slots["m"].entry == Symlink("m", "t")
        assert made.slots["e"].entry == Directory("e")

    def test_a_symlink_may_be_renamed_and_point_elsewhere(self) -> None:
        made = layout(
            tree(Symlink("l", "t")), rename("l", "m"), Change(Kind.SYMLINK, "m", target="u")
        )
        assert made.slots["m"].entry == Symlink("m", "u")
        assert made.slots["m"].source == "l"

    def test_an_entry_may_change_its_kind(self) -> None:
        old = tree("a", Symlink("b", "t"), Directory("c"))
        made = layout(
            *(old, delete("a"), delete("b"), delete("c")),
            *(Change(Kind.ADD_DIRECTORY, "a"), add("b"), Change(Kind.SYMLINK, "c", target="b")),
        )
        kinds = {path: type(slot.entry) for path, slot in made.slots.items()}
        assert kinds == {"a": Directory, "b": File, "c": Symlink}

    def test_digests_of_decoded_files_complete_the_manifest(self) -> None:
        made = layout(tree("a", "b"), Change(Kind.MODIFY, "a", size=3))
        new = made.manifest("app", "2", Release(), {"a": Digest.of(b"new")})
        assert new == Manifest.of("app", "2", [file("a", "new"), file("b")])

    def test_a_digest_that_was_never_computed_is_none_that_could_be_right(self) -> None:
        """A manifest may claim any digest, also the one that stands for an unknown one."""
        old = tree(File("a", 3, UNKNOWN))
        assert layout(old).manifest("app", "1", Release(), {}) == old


TAKEN = r"is taken"
MISSING = r"is not in the old tree"
NO_FILE = r"is not a file|no old file comes to"


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ([delete("x")], MISSING),
        ([delete("d")], MISSING),
        ([rename("x", "y")], MISSING),
        ([rename("a", "x"), rename("a", "y")], MISSING),
        ([rename("a", "x"), delete("a")], MISSING),
        ([Change(Kind.COPY, "y", "x")], MISSING),
        ([rename("a", "b")], TAKEN),
        ([rename("a", "d/f")], TAKEN),
        ([Change(Kind.COPY, "a", "b")], TAKEN),
        ([Change(Kind.COPY, "x", "a"), rename("b", "x")], TAKEN),
        ([add("a")], TAKEN),
        ([add("x"), rename("a", "x")], TAKEN),
        ([Change(Kind.ADD_DIRECTORY, "a")], TAKEN),
        ([Change(Kind.ADD_DIRECTORY, "e")], TAKEN),
        ([Change(Kind.SYMLINK, "a", target="b")], TAKEN),
        ([Change(Kind.SYMLINK, "e", target="b")], TAKEN),
        ([add("x"), Change(Kind.SYMLINK, "x", target="b")], TAKEN),
        ([move("d", "q"), add("q/f")], TAKEN),
        ([move("d", "k")], TAKEN),
        ([Change(Kind.MODIFY, "x", size=1)], NO_FILE),
        ([Change(Kind.MODIFY, "l", size=1)], NO_FILE),
        ([Change(Kind.REPLACE, "e", size=1)], NO_FILE),
        ([Change(Kind.MODIFY, "d/f", size=1), move("d", "q")], NO_FILE),
        ([Change(Kind.MODE, "l", executable=True)], NO_FILE),
        ([Change(Kind.MODIFY, "a", size=1), Change(Kind.REPLACE, "a", size=1)], NO_FILE),
        ([Change(Kind.MODIFY, "a", size=1), Change(Kind.MODE, "a")], NO_FILE),
        ([Change(Kind.COPY, "x", "l")], NO_FILE),
        ([Change(Kind.COPY, "x", "e")], NO_FILE),
        ([rename("l", "x", executable=True)], NO_FILE),
        ([rename("l", "x", 5)], NO_FILE),
        ([rename("e", "x", 0)], NO_FILE),
    ],
    ids=lambda value: (
        "+".join(f"{c.kind.name}:{c.path}" for c in value) if isinstance(value, list) else ""
    ),
)
def test_changes_that_do_not_fit_are_refused(listed: Iterable[Change], reason: str) -> None:
    old = tree("a", "b", "d/f", "k/f", Symlink("l", "a"), Directory("e"))
    with pytest.raises(FormatError, match=reason) as caught:
        layout(old, *listed)
    assert caught.value.context.startswith("changes")


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ([add("a/b", 0)], "a folder of other entries"),
        ([rename("b", "e/b")], "a folder of other entries"),
        ([add("A", 0)], "letter case"),
        ([move("d", "D2"), add("d2/x", 0)], "letter case"),
        ([move("d", "x" * 255), move("k", "/".join(["y" * 255] * 4))], "1 to 1024 bytes"),
        ([rename("m/l", "l")], "leaves the release"),
    ],
)
def test_a_tree_that_may_not_be_is_refused(listed: Iterable[Change], reason: str) -> None:
    old = tree("a", "b", "d/f", "k/f", "k/longer", Symlink("m/l", "../a"), Directory("e"))
    made = layout(old, *listed)
    with pytest.raises(FormatError, match=reason):
        made.manifest("app", "2", Release(), {})


@SETTINGS
@given(manifests(), changes())
def test_any_changes_of_any_tree_fit_or_give_a_format_error(
    old: Manifest, listed: tuple[Change, ...]
) -> None:
    try:
        made = Layout(old, listed)
        new = made.manifest("app", "2", Release(), {})
    except FormatError:
        return
    assert {entry.path for entry in new.entries} == set(made.slots)


@SETTINGS
@given(manifests(), st.data())
def test_any_renaming_of_files_gives_exactly_these_names(
    old: Manifest, data: st.DataObject
) -> None:
    paths = [entry.path for entry in old.files()]
    target = data.draw(st.permutations(paths))
    listed = [rename(a, b) for a, b in zip(paths, target, strict=True)]
    untouched = {e.path: e.path for e in old.entries if not isinstance(e, File)}
    assert result(old, *listed) == {**dict(zip(target, paths, strict=True)), **untouched}
