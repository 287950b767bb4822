"""The three distributions: what each ships, and what it brings along."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.paths import ROOT
from updater.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


FOLDERS = {"updater": ROOT, "patchtool": ROOT / "tools", "patchserver": ROOT / "patchserver"}
"""Each package, and the folder of the project that ships it."""


def project(package: str) -> dict[str, Any]:
    """The `[project]` table of the distribution that ships a package."""
    table: dict[str, Any] = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text("utf-8"))
    return cast("dict[str, Any]", table["project"])


def source(package: str) -> Path:
    """The folder of a package."""
    folder = FOLDERS[package]
    return folder if package == "patchserver" else folder / package


def is_of_the_package(path: Path) -> bool:
    """Whether a file in the folder of a package is one that is imported or read by it."""
    return "__pycache__" not in path.parts and path.name not in {
        "LICENSE",
        "README.md",
        "pyproject.toml",
    }


def build(folder: Path, out: Path, *targets: str) -> list[Path]:
    """Build the project in a folder, as a release would be; what was made."""
    line = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    line += [word for target in targets for word in ("-t", target)]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    return sorted(out.iterdir())


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a wheel or an sdist; where its files lie."""
    shutil.unpack_archive(archive, folder, "zip" if archive.suffix == ".whl" else "gztar")
    return folder if archive.suffix == ".whl" else next(folder.iterdir())


def files_of(wheel: Path) -> dict[str, bytes]:
    """What a wheel holds, but for its own record."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Our wheels, by package."""
    out = tmp_path_factory.mktemp("wheels")
    return {
        package: build(folder, out / package, "wheel")[0] for package, folder in FOLDERS.items()
    }


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_holds_one_package_whole_and_nothing_else(
    package: str, wheels: dict[str, Path]
) -> None:
    names = set(files_of(wheels[package]))
    assert {name for name in names if ".dist-info/" not in name} == {
        path.relative_to(source(package).parent).as_posix()
        for path in source(package).rglob("*")
        if path.is_file() and is_of_the_package(path)
    }


def test_an_application_carries_neither_server_nor_signing_tool(wheels: dict[str, Path]) -> None:
    text = b"\n".join(files_of(wheels["updater"]).values())
    assert b"import patch" not in text
    assert b"from patch" not in text
    (entry_points,) = (
        content
        for name, content in files_of(wheels["updater"]).items()
        if name.endswith("entry_points.txt")
    )
    assert entry_points.decode().split() == [
        "[console_scripts]",
        "updater",
        "=",
        "updater.__main__:main",
    ]


def test_the_three_have_one_version_and_name_each_other_by_it() -> None:
    extras = project("updater")["optional-dependencies"]
    assert extras["build"] == [f"upswap-build=={__version__}"]
    assert extras["server"] == [f"upswap-server=={__version__}"]
    for package in ("patchtool", "patchserver"):
        assert project(package)["version"] == __version__
        ours = [line for line in project(package)["dependencies"] if line.startswith("upswap")]
        assert f"upswap=={__version__}" in ours
        assert all(line.endswith(f"=={__version__}") for line in ours)


def test_the_three_have_the_same_home_and_license() -> None:
    for package, folder in FOLDERS.items():
        assert project(package)["urls"] == project("updater")["urls"]
        assert project(package)["classifiers"] == project("updater")["classifiers"]
        assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_nothing_that_is_not_ours_is_taken_for_ours() -> None:
    """Whoever installs `dev` alone must not get a package of that name from an index."""
    assert not [
        line
        for line in project("updater")["optional-dependencies"]["dev"]
        if line.startswith("upswap-") or "build" in line or "server" in line
    ]


@pytest.mark.parametrize("package", FOLDERS)
def test_what_a_page_of_an_index_shows_has_no_link_that_leads_nowhere(package: str) -> None:
    text = (FOLDERS[package] / "README.md").read_text("utf-8")
    assert "pip install" in text[:400]
    links = [*re.findall(r"\]\(([^)]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_of_the_source_distribution_is_the_same(
    package: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    (sdist,) = build(FOLDERS[package], tmp_path / "sdist", "sdist")
    top = unpack(sdist, tmp_path / "in")
    (again,) = build(top, tmp_path / "wheel", "wheel")
    assert files_of(again) == files_of(wheels[package])


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_holds_no_key_and_no_test(package: str, wheels: dict[str, Path]) -> None:
    names = files_of(wheels[package])
    assert not [name for name in names if name.endswith(".pem") or "test" in name]


@pytest.mark.parametrize("package", FOLDERS)
def test_a_key_that_was_left_in_the_source_is_not_shipped(package: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    project_folder = copy / FOLDERS[package].relative_to(ROOT)
    for name in ("updater", "patchserver", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy2(ROOT / name, copy / name)
    inside = project_folder if package == "patchserver" else project_folder / package
    for place in (inside, inside / "deeper", project_folder, copy / "keys"):
        place.mkdir(exist_ok=True)
        (place / "online.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    built = build(project_folder, tmp_path / "out", "wheel", "sdist")
    assert len(built) == 2
    for archive in built:
        top = unpack(archive, tmp_path / archive.suffix)
        shipped = [path for path in top.rglob("*") if path.is_file()]
        assert any(path.name == "py.typed" for path in shipped)
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
