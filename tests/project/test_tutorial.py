"""The main job on software nobody here wrote: docs/tutorial.md as a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.trees.trees import read_tree

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "any")
ENVIRONMENT = os.environ | {"UPSWAP_KEY_PASSWORD": "tutorial", "PYTHONWARNINGS": "error"}


def run(module: str, *words: str | Path) -> dict[str, Any]:
    """Run one of our commands with ``--json``; its document."""
    line = [sys.executable, "-m", module, *map(str, words), "--json"]
    done = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def wheel_tree(package: str, version: str, folder: Path) -> Path:
    """The content of a package's wheel, modes included, in ``folder``."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    download = folder.with_name(f"{folder.name}-wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
         "--python-version", "3.11", *platforms, "-d", str(download), f"{package}=={version}"],
        check=True,
        timeout=250,
    )  # fmt: skip
    (wheel,) = download.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            place = Path(archive.extract(info, folder))
            if not info.is_dir():
                place.chmod((info.external_attr >> 16) & 0o777 or 0o644)
    return folder


@contextmanager
def serving(repository: Path) -> Iterator[str]:
    """``patchserver serve`` as a process of its own; its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "patchserver", "serve", "--repo", repository, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found is not None
        yield found[0]
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stderr.close()


@pytest.mark.network
@pytest.mark.parametrize(
    ("package", "old", "new", "most"),
    [("Django", "5.1.14", "5.1.15", 1_500), ("numpy", "2.4.5", "2.4.6", 70_000)],
)
def test_two_releases_of_a_real_package_go_the_whole_way(
    package: str, old: str, new: str, most: int, tmp_path: Path
) -> None:
    trees = {version: wheel_tree(package, version, tmp_path / version) for version in (old, new)}
    app, repository, install = package.lower(), tmp_path / "repo", tmp_path / "apps" / "it"
    ours = ("--app", app, "--keys", tmp_path / "keys")

    run("patchtool", "init", repository, *ours)
    run("patchtool", "add-release", repository, "--version", old, trees[old], *ours)
    run("patchtool", "promote", repository, "--version", old, "--channel", "stable", *ours)
    with serving(repository) as url:
        root = repository / "metadata" / "1.root.json"
        run("updater", "install", "--url", url, "--root", root, "--app", app, install)
        assert read_tree(install) == read_tree(trees[old])

        run("patchtool", "add-release", repository, "--version", new, trees[new], *ours)
        run("patchtool", "promote", repository, "--version", new, "--channel", "stable", *ours)
        offer = run("updater", "check", "--dir", install)
        updated = run("updater", "update", "--dir", install)

    assert (updated["state"], updated["from"], updated["to"]) == ("updated", old, new)
    assert read_tree(install) == read_tree(trees[new])
    assert offer["fetch_bytes"] < most < offer["full_bytes"]
