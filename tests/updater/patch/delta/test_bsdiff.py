"""The door to bsdiff4: it computes bsdiff's model, and never sees a number that leads outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import bsdiff4.core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, deltas, patched
from updater.errors import PatchError
from updater.patch.delta.bsdiff import Delta, Triples, patch, run, self_check

OLD = b"abcdefgh"
GOOD = Delta((3, 2), (2, 0), (-1, 0), bytes(5), b"xy")
HUGE = (1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64)


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """bsdiff4 must not be reached."""
    self_check()

    def reached(*_: Any) -> bytes:
        raise AssertionError("bsdiff4 was given unchecked numbers")

    monkeypatch.setattr(bsdiff4.core, "patch", reached)


@pytest.fixture
def fresh_check() -> Iterator[None]:
    self_check.cache_clear()
    yield
    self_check.cache_clear()


@SETTINGS
@given(deltas())
def test_it_computes_the_model(case: tuple[bytes, Delta]) -> None:
    old, delta = case
    new = patched(old, delta)
    assert patch(old, delta, len(new)) == new


def test_the_example() -> None:
    assert patch(OLD, GOOD, 7) == b"abcxycd"


def test_no_triples_give_nothing() -> None:
    assert patch(OLD, Delta((), (), (), b"", b""), 0) == b""
    assert patch(b"", Delta((0,), (0,), (0,), b"", b""), 0) == b""


@pytest.mark.usefixtures("untouched")
class TestRefused:
    """CVE-2014-9862, CVE-2020-14315: negative, huge and outside numbers."""

    def refuse(self, delta: Delta, new_length: int = 7, old: bytes = OLD) -> None:
        with pytest.raises(PatchError, match=r"^delta: "):
            patch(old, delta, new_length)

    @pytest.mark.parametrize("length", [0, 6, 8, -7, *HUGE])
    def test_another_new_length(self, length: int) -> None:
        self.refuse(GOOD, length)

    @pytest.mark.parametrize(
        "fields",
        [
            {"adds": (3, 3)},
            {"adds": (2, 2)},
            {"copies": (1, 0)},
            {"copies": (2, 1)},
            {"difference": bytes(4)},
            {"difference": bytes(6)},
            {"extra": b"x"},
            {"extra": b"xyz"},
            {"adds": (4, 2), "copies": (1, 0)},
            {"adds": (4, 2), "difference": bytes(6), "copies": (1, 0)},
        ],
    )
    def test_lengths_that_do_not_add_up(self, fields: dict[str, Any]) -> None:
        self.refuse(dataclasses.replace(GOOD, **fields))

    @pytest.mark.parametrize("by", [1, 3, *HUGE])
    def test_negative_lengths_that_do_add_up(self, by: int) -> None:
        self.refuse(dataclasses.replace(GOOD, adds=(5 + by, -by)))
        self.refuse(dataclasses.replace(GOOD, adds=(-by, 5 + by)))
        self.refuse(dataclasses.replace(GOOD, copies=(2 + by, -by)))
        self.refuse(dataclasses.replace(GOOD, copies=(-by, 2 + by)))

    @pytest.mark.parametrize("seek", [-4, 4, 6, *HUGE, *(-number for number in HUGE)])
    def test_seeks_outside(self, seek: int) -> None:
        self.refuse(dataclasses.replace(GOOD, seeks=(seek, 0)))

    @pytest.mark.parametrize("seek", [-5, 5, 100, *HUGE, *(-number for number in HUGE)])
    def test_a_last_seek_outside_though_nothing_is_read_there(self, seek: int) -> None:
        self.refuse(dataclasses.replace(GOOD, seeks=(-1, seek)))

    @pytest.mark.parametrize("old", [b"", b"a", OLD[:2], OLD[:3]])
    def test_old_bytes_that_end_early(self, old: bytes) -> None:
        self.refuse(GOOD, old=old)

    @pytest.mark.parametrize("length", [9, 100, 1 << 20])
    def test_additions_beyond_the_old_bytes(self, length: int) -> None:
        for seek in (0, -1, -length):  # the last comes back inside and would hide it
            self.refuse(Delta((length,), (0,), (seek,), bytes(length), b""), length)


@SETTINGS
@given(
    st.binary(max_size=8),
    st.lists(st.tuples(*[st.integers(-3, 9)] * 3), max_size=4),
    st.integers(0, 12),
)
def test_no_delta_reads_outside_the_old_bytes(
    old: bytes, triples: list[tuple[int, int, int]], length: int
) -> None:
    """bsdiff4 reads zeros there; whatever is accepted is what the plain model gives."""
    adds, copies, seeks = zip(*triples, strict=True) if triples else ((), (), ())
    extra = b"e" * max(sum(copies), 0)
    delta = Delta(adds, copies, seeks, bytes(max(sum(adds), 0)), extra)
    try:
        new = patch(old, delta, length)
    except PatchError:
        return
    position = 0
    for add, seek in zip(adds, seeks, strict=True):
        assert 0 <= position <= position + add <= len(old)
        position += add + seek
    assert new == patched(old, delta)
    assert len(new) == length


@pytest.mark.usefixtures("fresh_check")
class TestSelfCheck:
    def test_passes_with_the_library_we_have(self) -> None:
        self_check()

    def test_stops_a_broken_build_before_any_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bsdiff4.core, "patch", lambda *_: b"bbbxyce")
        for _ in range(2):
            with pytest.raises(PatchError, match="self-check") as caught:
                patch(OLD, GOOD, 7)
            assert caught.value.hint

    @pytest.mark.parametrize("error", [ValueError("corrupt patch"), MemoryError()])
    def test_no_error_of_the_library_comes_through(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        self_check()

        def fail(*_: Any) -> bytes:
            raise error

        monkeypatch.setattr(bsdiff4.core, "patch", fail)
        with pytest.raises(PatchError, match="bsdiff4"):
            patch(OLD, GOOD, 7)


@SETTINGS
@given(deltas())
def test_parts_run_alone_once_they_are_checked(case: tuple[bytes, Delta]) -> None:
    old, delta = case
    triples = Triples(delta.adds, delta.copies, delta.seeks)
    need = triples.need()
    parts = (triples.control(), delta.difference, delta.extra)
    assert run(old[:need], need, *parts) == patched(old, delta)
    if need:
        with pytest.raises(PatchError, match=r"^delta: "):
            run(old[: need - 1], need, *parts)


def test_control_numbers_are_sign_magnitude() -> None:
    control = Triples((1,), (2,), (-3,)).control()
    assert control.hex() == "010000000000000002000000000000000300000000000080"
