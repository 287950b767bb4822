"""What is shipped: the wheel, and what it brings along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, built as a release would be."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_our_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "updater",
        "patchserver",
        "patchtool",
    }
    assert {f"{package}/py.typed" for package in ("updater", "patchserver", "patchtool")} < set(
        names
    )


def test_the_wheel_holds_no_key_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".pem") or "test" in name]


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_a_key_that_was_left_in_the_source_is_not_shipped(target: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    kept = ("updater", "patchserver", "tools", "pyproject.toml", "README.md", "LICENSE")
    for name in kept:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name)
        else:
            shutil.copy2(ROOT / name, source / name)
    for place in ("updater/online.pem", "tools/patchtool/release.pem", "keys/root.pem", "root.pem"):
        (source / place).parent.mkdir(exist_ok=True)
        (source / place).write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    line = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path / "out")]
    subprocess.run(line, cwd=source, check=True, capture_output=True)
    (built,) = (tmp_path / "out").iterdir()
    shutil.unpack_archive(built, tmp_path / "in", "zip" if target == "wheel" else "gztar")
    shipped = [path for path in (tmp_path / "in").rglob("*") if path.is_file()]
    assert any(path.name == "signing_keys.py" for path in shipped)
    assert not [path for path in shipped if b"BEGIN ENCRYPTED" in path.read_bytes()]


def test_importing_the_client_costs_an_application_no_heavy_library() -> None:
    code = (
        "import sys, updater; updater.UpdaterError; "
        "print({'requests', 'tuf', 'tqdm', 'flask', 'cryptography'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"
