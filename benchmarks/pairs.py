"""The release pairs that are measured: ``python benchmarks/pairs.py --root DIR``.

Makes ``DIR/NAME/old`` and ``DIR/NAME/new``. Public packages are pinned by version and by the
SHA-256 of their archive; the ``*_moved`` pairs and ``big`` are made from rules and seeds, so
every machine gets the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests

MIB = 1 << 20
TIMEOUT = 600  # seconds for one download
PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "any")
WHEEL_FLAGS = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11")

CHUNK = 4 * MIB
ASSET_CHUNKS = 300  # the largest file of `big`: 1.2 GB
SMALL_FILES = 200  # of a chunk each: 0.8 GB beside it


@dataclass(frozen=True)
class Archive:
    """A published package, by exact content."""

    package: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Public:
    """Two adjacent releases of a package, unpacked."""

    registry: str  # "pypi" or "npm"
    old: Archive
    new: Archive
    what: str


@dataclass(frozen=True)
class Moved:
    """Another pair whose new release has folders moved and files renamed."""

    base: str
    what: str


@dataclass(frozen=True)
class Generated:
    """A pair made of seeded bytes."""

    what: str


PAIRS: dict[str, Public | Moved | Generated] = {
    "django_patch": Public(
        "pypi",
        Archive(
            "Django", "5.1.14", "2a4b9c20404fd1bf50aaaa5542a19d860594cba1354f688f642feb271b91df27"
        ),
        Archive(
            "Django", "5.1.15", "117871e58d6eda37f09870b7d73a3d66567b03aecd515b386b1751177c413432"
        ),
        "many small text files",
    ),
    "django_moved": Moved("django_patch", "django_patch, folders moved and files renamed"),
    "numpy": Public(
        "pypi",
        Archive(
            "numpy", "2.4.5", "07ce7e74da92d7c71b5df157b9758bcdd53d7fea10602154de3afd2b3ddc34dd"
        ),
        Archive(
            "numpy", "2.4.6", "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93"
        ),
        "C extensions and text",
    ),
    "numpy_moved": Moved("numpy", "numpy, folders moved and files renamed"),
    "esbuild": Public(
        "npm",
        Archive(
            "@esbuild/linux-x64",
            "0.28.1",
            "9ed00ab5330c94386f3273eda99a1fb0e8f37cfd6cb5270e4ad2fe3527da3546",
        ),
        Archive(
            "@esbuild/linux-x64",
            "0.28.2",
            "9573bb2233aab0f9ea7647d5cca9726113cc1768de61d66b17267f4db84488f6",
        ),
        "one Go executable",
    ),
    "closure_jar": Public(
        "npm",
        Archive(
            "google-closure-compiler-java",
            "20261011.0.0",
            "98fcb7d974363c681448373c9a1519374e81dc0d34cb763add352c4151de9077",
        ),
        Archive(
            "google-closure-compiler-java",
            "20261015.0.0",
            "ca26ec5391c4bd95e180e930137ee9cd8ed39b7ac432043854601b827a5fb4a9",
        ),
        "one large .jar (a deflated zip)",
    ),
    "pyside": Public(
        "pypi",
        Archive(
            "PySide6-Essentials",
            "6.11.2",
            "aaf9f25f0f324874085fa5b26a610318db8a8e243cf85bb3e5400595191c7778",
        ),
        Archive(
            "PySide6-Essentials",
            "6.11.3",
            "c6a5c3b58bf55aef6e09a7de690ff6133335014ab81a7f22f56363ea08e8f6a3",
        ),
        "a Qt application",
    ),
    "big": Generated("seeded random bytes: one 1.2 GB file and 200 of 4 MiB, edited and moved"),
}
OPT_IN = {"big"}  # needs 4 GB of disk, and as much again while it is measured


def main() -> int:
    """Make the pairs that are asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, required=True, help="folder for the pairs")
    parser.add_argument("--only", help="names with commas between them; default: all but big")
    options = parser.parse_args()
    for name in options.only.split(",") if options.only else sorted(PAIRS.keys() - OPT_IN):
        make(name, options.root)
        print(options.root / name)
    return 0


def make(name: str, root: Path) -> Path:
    """The folder of the pair ``name``, made if it is not there."""
    pair, folder = PAIRS[name], root / name
    if folder.exists():
        return folder
    part = root / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    if isinstance(pair, Public):
        _unpack_public(pair, part, root / ".downloads")
    elif isinstance(pair, Moved):
        _make_moved(make(pair.base, root), part)
    else:
        _make_big(part)
    return part.rename(folder)


def _unpack_public(pair: Public, folder: Path, downloads: Path) -> None:
    fetch, unpack = {"pypi": (_fetch_wheel, _unpack_wheel), "npm": (_fetch_npm, _unpack_npm)}[
        pair.registry
    ]
    for side, archive in (("old", pair.old), ("new", pair.new)):
        place = downloads / f"{archive.sha256[:16]}-{archive.version}"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            fetch(archive, place)
        _check(place, archive)
        unpack(place, folder / side)


def _fetch_wheel(archive: Archive, place: Path) -> None:
    folder = place.with_suffix(".part")
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    wanted = f"{archive.package}=={archive.version}"
    line = [sys.executable, "-m", "pip", "download", "--quiet", *WHEEL_FLAGS, *platforms]
    subprocess.run([*line, "--dest", str(folder), wanted], check=True, timeout=TIMEOUT)
    (wheel,) = folder.glob("*.whl")
    wheel.replace(place)
    folder.rmdir()


def _fetch_npm(archive: Archive, place: Path) -> None:
    name = archive.package.rpartition("/")[2]
    url = f"https://registry.npmjs.org/{archive.package}/-/{name}-{archive.version}.tgz"
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    place.write_bytes(answer.content)


def _check(place: Path, archive: Archive) -> None:
    found = hashlib.sha256(place.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise SystemExit(f"{place} is not {archive.package} {archive.version}: sha256 {found}")


def _unpack_wheel(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            place = Path(archive.extract(info, folder))
            if not info.is_dir():
                place.chmod((info.external_attr >> 16) & 0o777 or 0o644)


def _unpack_npm(package: Path, folder: Path) -> None:
    with tarfile.open(package) as archive:
        for member in archive:
            member.name = member.name.partition("/")[2]
            archive.extract(member, folder, filter="tar")


def _make_moved(base: Path, folder: Path) -> None:
    """Move a third of the folders below the first level, rename a tenth of the files."""
    shutil.copytree(base / "old", folder / "old", symlinks=True)
    for source in sorted((base / "new").rglob("*")):
        if source.is_symlink() or not source.is_dir():
            place = folder / "new" / _moved(source.relative_to(base / "new").as_posix())
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)


def _moved(path: str) -> PurePosixPath:
    """Where a file goes: decided by the hash of its folder (4 levels) and of its path."""
    *folders, name = path.split("/")
    drawn = _draw("/".join(folders[:4]))
    if len(folders) >= 2 and drawn % 3 == 0:
        folders = ["relocated", f"x{drawn % 7:02}", *folders[1:]]
    place = PurePosixPath(*folders, name)
    if _draw(path) % 10 == 0:
        return place.with_name(f"{place.stem}_renamed{place.suffix}")
    return place


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _make_big(folder: Path) -> None:
    for side in ("old", "new"):
        data = folder / side / "data"
        data.mkdir(parents=True)
        with (data / "assets.pak").open("wb") as writer:
            writer.writelines(_old_assets() if side == "old" else _new_assets())
    for number in range(SMALL_FILES):
        _write_small(folder, number)


def _chunk(number: int) -> bytes:
    return random.Random(number).randbytes(CHUNK)  # noqa: S311 - repeatable on purpose


def _old_assets() -> Iterator[bytes]:
    return map(_chunk, range(ASSET_CHUNKS))


def _new_assets() -> Iterator[bytes]:
    """The old file with a 64 MiB part moved to the front, edits, insertions and a cut."""
    for number in [*range(200, 216), *range(200), *range(216, ASSET_CHUNKS)]:
        chunk = _chunk(number)
        if number % 10 == 3:
            yield random.Random(f"inserted {number}").randbytes(3_000)  # noqa: S311
        if number % 2:
            chunk = chunk[:MIB] + b"edited %d" % number + chunk[MIB + 16 :]
        yield chunk[: CHUNK - 50_000] if number == 150 else chunk


def _write_small(folder: Path, number: int) -> None:
    """One file in ten is edited, one in ten renamed, one in fifty new."""
    old = _chunk(1_000 + number)
    new = old[:MIB] + b"edited" + old[MIB:] if number % 10 == 0 else old
    if number % 50 == 7:
        new = _chunk(2_000 + number)
    name = f"renamed{number:03}.bin" if number % 10 == 5 else f"part{number:03}.bin"
    (folder / "old" / "data" / f"part{number:03}.bin").write_bytes(old)
    (folder / "new" / "data" / name).write_bytes(new)


if __name__ == "__main__":
    sys.exit(main())
