"""What an updating client fetches besides the patch: an update through a real repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.methods import Pair
from benchmarks.results import Fetched

APP = "bench"
VERSIONS = {"old": "1.0.0", "new": "2.0.0"}
LIMIT = 1200  # seconds for one command


def metadata_of(pair: Pair) -> Fetched:
    """Publish the old release, install it, publish the new one, update."""
    try:
        return _update(pair)
    except (subprocess.SubprocessError, OSError, KeyError) as error:
        return Fetched(pair.name, note=f"failed: {error}")


def _update(pair: Pair) -> Fetched:
    with tempfile.TemporaryDirectory(prefix="upswap-bench-") as scratch:
        repository, install = Path(scratch, "repo"), Path(scratch, "apps", "it")
        ours = ("--app", APP, "--keys", str(Path(scratch, "keys")))
        _run("patchtool", "init", repository, *ours)
        _publish(repository, pair.old, VERSIONS["old"], ours)
        with _serving(repository) as url:
            root = repository / "metadata" / "1.root.json"
            _run("updater", "install", "--url", url, "--root", root, "--app", APP, install)
            added = _publish(repository, pair.new, VERSIONS["new"], ours)
            updated = _run("updater", "update", "--no-restart", "--dir", install)
    patch = added["patches"][VERSIONS["old"]]
    return Fetched(pair.name, updated["fetched_bytes"], patch)


def _publish(repository: Path, folder: Path, version: str, ours: tuple[str, ...]) -> dict[str, Any]:
    added = _run("patchtool", "add-release", repository, "--version", version, folder, *ours)
    _run("patchtool", "promote", repository, "--version", version, *ours)
    return added


def _run(module: str, *places: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, places), "--json", "--quiet"],
        cwd=ROOT,
        env=os.environ | {"UPSWAP_KEY_PASSWORD": "benchmark"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{module} {places[0]}: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@contextmanager
def _serving(repository: Path) -> Iterator[str]:
    """``patchserver serve`` on a free port; its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "patchserver", "serve", "--repo", repository, "--port", "0"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            found = re.search(r"http://\S+", server.stderr.readline() if server.stderr else "")
            if found is None:
                raise OSError("patchserver did not start")
            yield found[0]
        finally:
            server.terminate()
