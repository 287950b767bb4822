"""Where the State of an install lies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from updater.errors import InstallError
from updater.launch.state import choose, find


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """An empty install folder."""
    folder = tmp_path / "parent" / "app"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)
    return folder


def test_the_state_lies_beside_the_install_where_the_parent_is_ours(install: Path) -> None:
    assert choose(install).folder == install.parent / ".app.upswap"


def test_the_state_of_a_folder_that_is_not_there_yet_is_chosen_alike(install: Path) -> None:
    install.rmdir()
    assert choose(install).folder == install.parent / ".app.upswap"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_the_state_lies_inside_where_everybody_could_plant_one_beside(
    install: Path, mode: int
) -> None:
    install.parent.chmod(mode)
    assert choose(install).folder == install / ".upswap"


def test_the_state_lies_inside_where_the_parent_cannot_be_written(
    install: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != install.parent)
    assert choose(install).folder == install / ".upswap"


def test_the_state_lies_inside_where_the_install_is_a_disk_of_its_own(
    install: Path, request: pytest.FixtureRequest
) -> None:
    mounting = subprocess.run(["mount", "-t", "tmpfs", "none", install], check=False)
    if mounting.returncode:
        pytest.skip("mounting is not permitted here")
    request.addfinalizer(lambda: subprocess.run(["umount", install], check=True))
    assert choose(install).folder == install / ".upswap"


@pytest.mark.parametrize(
    "place", [lambda dir_: dir_.parent / ".app.upswap", lambda dir_: dir_ / ".upswap"]
)
def test_the_state_is_found_where_it_lies(install: Path, place: Callable[[Path], Path]) -> None:
    assert find(install) is None
    place(install).write_bytes(b"a file is no State")
    assert find(install) is None
    place(install).unlink()
    place(install).mkdir()
    state = find(install)
    assert state is not None
    assert (state.install, state.folder) == (install, place(install))


def test_the_state_is_found_even_if_it_would_not_be_chosen_there_today(install: Path) -> None:
    (install.parent / ".app.upswap").mkdir()
    install.parent.chmod(0o777)
    state = find(install)
    assert state is not None
    assert state.folder == install.parent / ".app.upswap"


def test_two_states_are_refused_by_name(install: Path) -> None:
    (install.parent / ".app.upswap").mkdir()
    (install / ".upswap").mkdir()
    with pytest.raises(InstallError) as caught:
        find(install)
    assert str(install.parent / ".app.upswap") in str(caught.value)
    assert str(install / ".upswap") in str(caught.value)
    assert caught.value.hint


def test_every_place_of_a_state_lies_in_its_folder_under_its_own_name(install: Path) -> None:
    state = choose(install)
    places = [
        state.settings, state.root, state.manifest, state.trust, state.downloads,
        state.stage, state.scratch, state.journal, state.lock,
    ]  # fmt: skip
    assert {place.parent for place in places} == {state.folder}
    assert len(set(places)) == len(places)
    assert state.staged(7).parent == state.stage


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_state_somebody_else_planted_is_not_believed(install: Path) -> None:
    beside = install.parent / ".app.upswap"
    beside.mkdir()
    os.chown(beside, 65534, 65534)
    with pytest.raises(InstallError, match="only the owner"):
        find(install)
    (install / ".upswap").mkdir()
    found = find(install)
    assert found is not None
    assert found.folder == install / ".upswap"


def test_a_state_everybody_may_write_or_that_is_a_link_is_not_believed(install: Path) -> None:
    beside = install.parent / ".app.upswap"
    beside.mkdir()
    beside.chmod(0o777)
    with pytest.raises(InstallError, match="only the owner"):
        find(install)
    beside.rmdir()
    (install.parent / "elsewhere").mkdir()
    beside.symlink_to("elsewhere")
    with pytest.raises(InstallError, match="only the owner"):
        find(install)
