"""Giving memory back: never an error, whatever the system is."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from updater.patch import memory


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    memory._trim.cache_clear()
    yield
    memory._trim.cache_clear()


def test_here() -> None:
    memory.trim_memory()
    memory.trim_memory()


@pytest.mark.parametrize("platform", ["win32", "darwin", "freebsd14"])
def test_where_it_cannot_be_asked_for(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    memory.trim_memory()


def test_without_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    memory.trim_memory()


def test_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    ctypes = pytest.importorskip("ctypes")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.trim_memory()
