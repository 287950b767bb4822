"""Cases from the life of installs and publishers: scripts that run real commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

CASES = Path(__file__).parent
PATIENCE = 240
"""Seconds for one case; each command in it has a limit of its own where it might wait."""
QUICK = frozenset({"keys_published_as_release"})
"""Cases of less than three seconds."""


def cases() -> list[object]:
    """Every script; the one that all of them begin with lies above them."""
    scripts = sorted(CASES.glob("*/*.sh"), key=lambda script: script.stem)
    return [
        pytest.param(script, marks=[] if script.stem in QUICK else pytest.mark.slow, id=script.stem)
        for script in scripts
    ]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for temporary files that every user can reach: some cases act as another one."""
    with TemporaryDirectory(prefix="upswap-case-") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def run(script: Path, folder: Path, log: Path) -> tuple[int, str]:
    """Exit code and output of a case with its temporary files in ``folder``; no process is left."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with log.open("w") as output:
        case = subprocess.Popen(
            ["bash", script],
            env={**os.environ, "PATH": path, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = case.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = -signal.SIGALRM
        left = _end(case)
    text = log.read_text(errors="replace")
    return code, f"{text}\nprocesses were left" if left else text


def _end(case: subprocess.Popen[bytes]) -> bool:
    """End what is left of a case; says if anything was."""
    try:
        os.killpg(case.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    case.wait()
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="the cases use what Linux offers")
@pytest.mark.parametrize("script", cases())
def test_the_promise_of_a_case_holds(script: Path, tmp_path: Path, shared: Path) -> None:
    code, output = run(script, shared, tmp_path / "log")
    if code == 0 and (reason := output.partition("SKIP: ")[2]):
        pytest.skip(reason.strip())
    assert code == 0, output
    assert "processes were left" not in output
    assert not list(shared.iterdir()), "something is left in the temporary folder"
