"""The system calls of a real process, and faults put into them by strace.

strace counts calls by number and thread: the n-th ``rename`` of a thread, not the n-th change.
So one undisturbed run is listed first, and from it is known which n of which call changes the
install. A fault that misses would make a test pass that tested nothing: `Injected.hit` says
whether it happened, and at a call that touched what was watched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

_CHANGING = """
    write pwrite64 writev pwritev ftruncate truncate fallocate copy_file_range sendfile
    open openat openat2 creat rename renameat renameat2 link linkat symlink symlinkat
    unlink unlinkat mkdir mkdirat rmdir mknod mknodat chmod fchmod fchmodat chown fchown lchown
    fchownat utimensat fsetxattr setxattr fsync fdatasync sync_file_range syncfs flock
"""
CHANGING = frozenset(_CHANGING.split())
"""Calls that change a disk, or make a change durable; those that open only if they create."""
OPENING = frozenset({"open", "openat", "openat2", "creat"})
READING = frozenset({"read", "pread64", "readv", "getdents64", *OPENING})
KILLED = {-9, 137}
"""Exit codes of a killed process, and of a shell or a strace that tells of one."""
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_CREATING = re.compile(r"\bO_(CREAT|TRUNC|TMPFILE)\b")


@dataclass(frozen=True)
class Call:
    """One call of one thread: the ``number``-th of its ``name``."""

    name: str
    number: int
    text: str
    """What strace shows of it; not what makes a call this one."""

    @property
    def changes(self) -> bool:
        """Whether it changes the disk."""
        if self.name in OPENING:
            return self.name == "creat" or bool(_CREATING.search(self.text))
        return self.name in CHANGING


@dataclass(frozen=True)
class Fault:
    """What happens to a call: the process dies there, or the call fails."""

    name: str
    """``KILL``, or an error such as ``EIO``."""

    @property
    def expression(self) -> str:
        """For strace."""
        return "signal=KILL" if self.kills else f"error={self.name}"

    @property
    def kills(self) -> bool:
        """Whether the process dies; strace's quick mode would miss that without a word."""
        return self.name == "KILL"

    def meets(self, call: Call) -> bool:
        """Whether it can happen there: reading meets faults of the medium and of handles."""
        if self.name == "EMFILE":
            return call.name in OPENING
        return call.changes or (self.name == "EIO" and call.name in READING)


@dataclass(frozen=True)
class Process:
    """How a command is run: nothing of this machine's user gets into it."""

    arguments: tuple[str, ...]
    folder: Path
    """Where it runs; `home` and `tmp` beside it are its own."""
    watched: tuple[Path, ...]
    """Calls that touch these count; all others are the interpreter's."""
    parent: Path
    """Calls on this folder itself count too, not those on other things in it."""
    program: tuple[str, ...] = ("-m", "updater")
    """What Python runs."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Variables it has besides."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables; the seed makes two runs make the same calls."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tools"))),
            "PYTHONHASHSEED": "0",
            "HOME": str(self.folder.parent / "home"),
            "TMPDIR": str(self.folder.parent / "tmp"),
            **self.secrets,
        }

    def run(self, *before: str) -> subprocess.CompletedProcess[str]:
        """Run it, behind the words ``before``."""
        return subprocess.run(
            [*before, sys.executable, *self.program, *self.arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@dataclass(frozen=True)
class Injected:
    """A process that met a fault, or did not."""

    code: int
    """Its exit code; -9 if it was killed."""
    errors: str
    """Stderr."""
    hit: bool
    """Whether the fault happened at a call that counts."""

    @property
    def killed(self) -> bool:
        """Whether the process died of it."""
        return self.code in KILLED


@cache
def refusal() -> str:
    """Why no process can be traced here; empty if one can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "strace is not installed"
    probe = ["strace", "-qq", "-e", "signal=none", "-e", "inject=sync:error=EIO", "sync"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "" if "(INJECTED)" in done.stderr else "tracing is not permitted here"


def calls(process: Process, log: Path, fails: str = "") -> list[Call]:
    """The calls that count of a run that only ``fails`` disturbs, in order.

    Of two threads that make an n-th call the first one meets the fault; if that is the start
    of the interpreter, the other cannot be aimed at. Those are few, and only read.
    """
    done = process.run(*strace(log, [*filter(None, [fails])], CHANGING | READING), "--seccomp-bpf")
    assert log.exists(), done.stderr
    first: dict[tuple[str, int], Call] = {}
    for call in _parse(log.read_text(errors="replace")):
        first.setdefault((call.name, call.number), call)
    return [call for call in first.values() if _counts(process, call.text)]


def inject(process: Process, fault: Fault, call: Call, log: Path, fails: str = "") -> Injected:
    """Run ``process`` and let ``fault`` happen at ``call``, besides the fault ``fails``."""
    expressions = [f"{call.name}:{fault.expression}:when={call.number}", *filter(None, [fails])]
    quick = () if fault.kills else ("--seccomp-bpf",)
    done = process.run(*strace(log, expressions), *quick)
    lines = log.read_text(errors="replace").splitlines()
    if fault.kills:
        hit = done.returncode in KILLED and _counts(process, lines[-1])
    else:
        met = [line for line in lines if "(INJECTED)" in line and f" {call.name}(" in line]
        hit = any(_counts(process, line) for line in met)
    return Injected(done.returncode, done.stderr, hit)


def strace(log: Path, expressions: Sequence[str], names: Iterable[str] = ()) -> tuple[str, ...]:
    """strace with ``expressions`` injected, showing ``names`` too; -y names descriptors' files."""
    shown = ",".join({*names, *(expression.split(":")[0] for expression in expressions)})
    quiet = ("-f", "-qq", "-y", "-s", "0", "-e", "signal=none", "-o", str(log))
    injections = [word for text in expressions for word in ("-e", f"inject={text}")]
    return ("strace", *quiet, "-e", f"trace={shown}", *injections)


def _parse(log: str) -> list[Call]:
    """Every call in a log, numbered as strace counts; resumed ones were counted before."""
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for line in log.splitlines():
        match = _CALL.match(line)
        if match:
            thread, name, text = match.groups()
            counts[thread, name] += 1
            found.append(Call(name, counts[thread, name], text))
    return found


def _counts(process: Process, text: str) -> bool:
    """Whether a call names something watched, by path or by descriptor."""
    parent = (f'"{process.parent}"', f"<{process.parent}>")
    places = [f"{start}{place}" for place in process.watched for start in '"<']
    return any(word in text for word in (*places, *parent))
