"""Verify: what is not as released is found, whatever it is, and nothing else is called damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.crash.crash_disk import CountingDisk, World, manifest_of, prepare, world_of
from tests.support.paths import ROOT
from tests.support.trees.trees import Content, Exe, Link
from updater.disk.durable import Disk
from updater.errors import PatchError
from updater.format.release_description import Policy
from updater.launch.commit.recover import commit
from updater.progress import Silent
from updater.stage.inspect import Findings, NotWhole, inspect
from updater.stage.released_files import note_folders

TREE: dict[str, Content] = {
    "app": Exe(b"program"),
    "conf/own.cfg": b"as released",
    "conf/dist.cfg": b"as released",
    "empty": None,
    "lib/core.py": b"VERSION = 1",
    "lib/zero": b"",
    "link": Link("app"),
}
POLICY: tuple[tuple[str, Policy], ...] = (
    ("own.*", "keep"),
    ("conf/dist.cfg", "keep-if-changed"),
)
LISTS = {
    "missing",
    "changed",
    "earlier",
    "mode_changed",
    "wrong_kind",
    "unreadable",
    "kept",
    "extra",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An install of TREE, placed by an update like every install."""
    empty = manifest_of(tmp_path, "0.9", {})
    world = world_of(tmp_path / "world", empty, {})
    manifest = manifest_of(tmp_path, "1.0", TREE, policy=POLICY)
    commit(world.state.on(CountingDisk()), prepare(CountingDisk(), world, manifest, TREE))
    note_folders(world.state.on(CountingDisk()), manifest)
    for path in [*world.state.install.rglob("*"), world.state.install]:
        if not path.is_dir() and not path.is_symlink():
            os.utime(path, (1, 1))
    return world


def look(world: World, *, full: bool = True) -> dict[str, list[str]]:
    """What is found: only the lists with something in them."""
    findings = inspect(world.state, world.manifest, Silent(), full=full)
    assert (findings.version, findings.full) == ("1.0", full)
    return {key: list(v) for key, v in asdict(findings).items() if key in LISTS and v}


def rewrite(path: Path, data: bytes) -> None:
    """Same size and same time of modification: as nobody but a bad disk or an enemy does it."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("lib/core.py")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[str, Callable[[Path], object], dict[str, list[str]]]] = {
    "another size": ("lib/core.py", lambda p: p.write_bytes(b"x"), {"changed": ["lib/core.py"]}),
    "same size": (
        "lib/core.py",
        lambda p: rewrite(p, b"VERSION = 2"),
        {"changed": ["lib/core.py"]},
    ),
    "no longer empty": ("lib/zero", lambda p: p.write_bytes(b"0"), {"changed": ["lib/zero"]}),
    "missing": ("app", Path.unlink, {"missing": ["app"]}),
    "missing link": ("link", Path.unlink, {"missing": ["link"]}),
    "missing folder": ("empty", Path.rmdir, {"missing": ["empty"]}),
    "executable": ("lib/core.py", lambda p: p.chmod(0o755), {"mode_changed": ["lib/core.py"]}),
    "not executable": ("app", lambda p: p.chmod(0o644), {"mode_changed": ["app"]}),
    "link for file": ("app", to_link, {"wrong_kind": ["app"]}),
    "folder for file": ("app", to_folder, {"wrong_kind": ["app"]}),
    "folder for link": ("link", to_folder, {"wrong_kind": ["link"]}),
    "folder for a kept file": ("conf/own.cfg", to_folder, {"wrong_kind": ["conf/own.cfg"]}),
    "missing kept file": ("conf/own.cfg", Path.unlink, {"missing": ["conf/own.cfg"]}),
    "mode of a kept file": (
        "conf/own.cfg",
        lambda p: p.chmod(0o755),
        {"mode_changed": ["conf/own.cfg"]},
    ),
}


@pytest.mark.parametrize("full", [True, False], ids=["full", "fast"])
def test_what_was_installed_is_whole(world: World, full: bool) -> None:
    assert look(world, full=full) == {}


@pytest.mark.parametrize("full", [True, False], ids=["full", "fast"])
@pytest.mark.parametrize(("path", "damage", "found"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(
    world: World,
    path: str,
    damage: Callable[[Path], object],
    found: dict[str, list[str]],
    full: bool,
) -> None:
    damage(world.state.install / path)
    assert look(world, full=full) == found
    findings = inspect(world.state, world.manifest, Silent(), full=full)
    with pytest.raises(NotWhole, match=path.replace(".", "[.]")):
        findings.require_whole(hint="")


def test_where_modes_are_not_kept_they_are_no_damage(world: World) -> None:
    """On exFAT every file may be executed, those of the State too."""
    world.state.root.write_bytes(b"{}")
    (world.state.install / "lib/core.py").chmod(0o755)
    assert look(world) == {"mode_changed": ["lib/core.py"]}
    world.state.root.chmod(0o755)
    assert look(world) == {}


def test_a_link_that_points_elsewhere_is_changed(world: World) -> None:
    link = world.state.install / "link"
    link.unlink()
    link.symlink_to("lib/core.py")
    assert look(world) == look(world, full=False) == {"changed": ["link"]}


def test_the_fast_look_reads_nothing_that_was_not_touched(world: World) -> None:
    """Bytes that change by themselves, on a bad disk, are what the full look is for."""
    core = world.state.install / "lib/core.py"
    rewrite(core, b"VERSION = 2")
    while world.state.manifest.stat().st_mtime_ns <= core.stat().st_ctime_ns:
        Disk().stamp(world.state.manifest)  # as if committed after the file was touched
    assert look(world, full=False) == {}
    assert look(world) == {"changed": ["lib/core.py"]}


def test_a_file_that_was_touched_and_is_as_released_is_whole(world: World) -> None:
    os.utime(world.state.install / "lib/core.py")
    assert look(world, full=False) == {}


@pytest.mark.parametrize("full", [True, False], ids=["full", "fast"])
def test_what_a_policy_leaves_to_the_user_is_kept_and_no_damage(world: World, full: bool) -> None:
    (world.state.install / "conf/own.cfg").write_bytes(b"mine")
    dist = world.state.install / "conf/dist.cfg"
    dist.unlink()
    dist.symlink_to("own.cfg")
    assert look(world, full=full) == {"kept": ["conf/dist.cfg", "conf/own.cfg"]}
    assert inspect(world.state, world.manifest, Silent(), full=full).whole


def test_extra_files_are_listed_and_no_damage(world: World) -> None:
    live = world.state.install
    (live / "lib/mine").write_bytes(b"x")
    (live / "dangling").symlink_to("nowhere")
    (live / "my folder/deep").mkdir(parents=True)
    (live / "my folder/deep/file").write_bytes(b"x")
    os.mkfifo(live / "pipe")
    assert look(world) == {"extra": ["dangling", "lib/mine", "my folder/deep/file", "pipe"]}
    assert inspect(world.state, world.manifest, Silent(), full=True).whole


def test_what_is_disposable_and_what_is_ours_is_not_extra(world: World) -> None:
    cache = world.state.install / "lib/__pycache__"
    cache.mkdir()
    (cache / "core.cpython-312.pyc").write_bytes(b"x")
    inside = replace(world.state, folder=world.state.install / ".upswap")
    world.state.folder.rename(inside.folder)
    manifest = manifest_of(world.folder / "again", "1.0", TREE, policy=POLICY)
    assert inspect(inside, manifest, Silent(), full=False).extra == ()


def test_a_fifo_in_the_place_of_a_file_does_not_hang(world: World) -> None:
    (world.state.install / "app").unlink()
    os.mkfifo(world.state.install / "app")
    assert look(world) == {"wrong_kind": ["app"]}


def test_a_link_in_the_place_of_a_folder_is_told_and_not_looked_behind(world: World) -> None:
    live = world.state.install
    (live / "lib").rename(live.parent / "elsewhere")
    (live / "lib").symlink_to(live.parent / "elsewhere")
    (live.parent / "elsewhere/core.py").write_bytes(b"not ours to judge")
    assert look(world) == {"wrong_kind": ["lib"]}


def test_a_file_in_the_place_of_a_folder_is_told_with_all_that_is_missing(world: World) -> None:
    live = world.state.install
    for path in ("lib/core.py", "lib/zero"):
        (live / path).unlink()
    (live / "lib").rmdir()
    (live / "lib").write_bytes(b"file")
    assert look(world) == {"wrong_kind": ["lib"], "missing": ["lib/core.py", "lib/zero"]}


def test_a_long_list_of_damage_is_cut_in_the_message_and_whole_in_the_findings() -> None:
    findings = Findings(version="1.0", full=True, missing=tuple("abcdef"), changed=("g",))
    with pytest.raises(PatchError, match=r"6 missing, 1 changed \('a', .*'e', ...\)") as caught:
        findings.require_whole(hint="run updater repair")
    assert isinstance(caught.value, NotWhole)
    assert (caught.value.findings, caught.value.exit_code) == (findings, 6)
    assert caught.value.hint == "run updater repair"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
def test_another_user_may_verify_and_what_they_may_not_read_is_told(tmp_path: Path) -> None:
    with TemporaryDirectory() as folder:  # pytest's own is closed to others
        home = Path(folder)
        home.chmod(0o755)
        world = world_of(home / "world", manifest_of(tmp_path, "1.0", TREE), TREE)
        whole = verified_by_nobody(world)
        assert whole == {"state": "whole", "extra": []}
        (world.state.install / "lib/core.py").chmod(0o600)
        damaged = verified_by_nobody(world)
        assert damaged == {"state": "damaged", "extra": [], "unreadable": ["lib/core.py"]}


def verified_by_nobody(world: World) -> dict[str, object]:
    """What the command says to a user with no rights; all is imported before they are given up."""
    program = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})"
    program += (
        "; from updater.cli.commands import main; os.setuid(65534); sys.exit(main(sys.argv[1:]))"
    )
    words = ["verify", "--full", "--quiet", "--json", "--dir", str(world.state.install)]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["state"] == "whole" else 6), done.stderr
    return {k: v for k, v in document.items() if k in {"state", "extra"} or (k in LISTS and v)}
