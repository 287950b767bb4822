"""What we know of an install survives, and a damaged record of it is told, never guessed at."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from updater.errors import FormatError, InstallError
from updater.format.encoding.canonical import encode
from updater.format.manifest import Manifest
from updater.format.release_description import Release
from updater.launch.commit.bad_versions import BAD_MOST
from updater.launch.state import State
from updater.local.settings import Settings, find_install, read_manifest, read_settings

SETTINGS = Settings(app="notes", channel="stable", url="https://example.org/u")
FULL = replace(SETTINGS, previous="1.0", bad=("1.1", "2.0rc1"))
MANIFEST = Manifest.of("notes", "1.0", [], Release())
DOCUMENT = {
    "app": "notes",
    "bad": [],
    "channel": "stable",
    "format": 1,
    "previous": "",
    "url": "https://example.org/u",
}


@pytest.fixture
def state(tmp_path: Path) -> State:
    install = tmp_path / "app"
    install.mkdir()
    state = State(install, tmp_path / ".app.upswap")
    state.folder.mkdir()
    state.settings.write_bytes(FULL.data)
    state.manifest.write_bytes(MANIFEST.data)
    return state


@pytest.mark.parametrize("settings", [SETTINGS, FULL])
def test_settings_come_back_as_they_were(settings: Settings) -> None:
    assert Settings.parse(settings.data) == settings


def test_settings_are_the_document_they_were_in_the_first_version() -> None:
    """Installs in the field hold it: it may grow a format number, not change."""
    assert SETTINGS.data == encode(DOCUMENT)


def test_as_many_bad_versions_as_are_kept_can_be_read_back() -> None:
    many = replace(SETTINGS, bad=tuple(f"1.{n}.0rc1.post2.dev3" for n in range(BAD_MOST)))
    assert Settings.parse(many.data) == many


@pytest.mark.parametrize("key", DOCUMENT)
@pytest.mark.parametrize("value", [None, 1.5, True, {}, "../x", -1])
def test_a_field_that_is_missing_or_senseless_is_refused(key: str, value: object) -> None:
    missing = {k: v for k, v in DOCUMENT.items() if k != key}
    if key != "bad":  # an absent list is an empty one
        with pytest.raises(FormatError, match=key):
            Settings.parse(encode(missing))
    if value == "../x" and key in {"url", "previous"}:
        return
    with pytest.raises(FormatError):
        Settings.parse(encode(missing | {key: value}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 200,
        b"{}",
        b"[]\n",
        SETTINGS.data[:-10],
        SETTINGS.data + b"x",
        encode(DOCUMENT | {"surprise": 1}),
        encode(DOCUMENT | {"format": 2}),
        encode(DOCUMENT | {"bad": ["1.0"] * (BAD_MOST + 1)}),
        encode(DOCUMENT | {"bad": [1]}),
        encode(DOCUMENT | {"url": "x" * (1 << 20)}),
    ],
)
def test_damaged_settings_are_told_with_a_way_out(data: bytes, state: State) -> None:
    state.settings.write_bytes(data)
    with pytest.raises(InstallError, match="damaged") as caught:
        read_settings(state)
    assert str(state.install) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "cut"])
def test_a_damaged_manifest_is_told_with_a_way_out(damage: str, state: State) -> None:
    data = state.manifest.read_bytes()
    state.manifest.unlink()
    if damage == "folder":
        state.manifest.mkdir()
    elif damage != "missing":
        state.manifest.write_bytes(b"" if damage == "empty" else data[:-1])
    with pytest.raises(InstallError, match="damaged") as caught:
        read_manifest(state)
    assert caught.value.hint


def test_a_machine_out_of_handles_is_not_taken_for_a_damaged_install(state: State) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(InstallError, match="too many open files") as caught:
            read_manifest(state)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "damaged" not in str(caught.value)
    assert "try again" in caught.value.hint


def test_what_is_whole_is_read(state: State) -> None:
    assert read_settings(state) == FULL
    assert read_manifest(state) == MANIFEST


def test_an_install_is_found_by_any_name_of_its_folder(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("app")
    monkeypatch.chdir(state.install)
    for name in (state.install, tmp_path / "link", Path(), Path("../app"), Path("../link/.")):
        assert find_install(name) == state


def test_a_state_inside_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "app/.upswap").mkdir(parents=True)
    assert find_install(tmp_path / "app").folder == tmp_path / "app/.upswap"


def test_two_states_are_refused(state: State) -> None:
    (state.install / ".upswap").mkdir()
    with pytest.raises(InstallError, match="two state folders") as caught:
        find_install(state.install)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "loop", "dangling"])
def test_a_folder_nobody_installed_is_told(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "empty":
        place.mkdir()
    elif kind == "file":
        place.write_bytes(b"")
    elif kind == "loop":
        place.symlink_to("place")
    elif kind == "dangling":
        place.symlink_to("nowhere")
    with pytest.raises(InstallError) as caught:
        find_install(place)
    assert caught.value.hint
