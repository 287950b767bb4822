"""A quick `updater` for worlds: each command is a fork of one process that has imported it.

    fast.py SOCKET                 be that process
    fast.py - SOCKET REAL ARG...   run a command by it; by REAL where that is not the same

Starting Python and importing takes ten times what most commands do. A fork is a process like any
other; but where the start itself matters (another user, locale, limits, a tracer, closed streams,
variables Python reads) the real program is run.
"""

from __future__ import annotations

import array
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

PLAIN = {"LC_ALL": "C.UTF-8"}
MATTERS = ("LC_ALL", "LD_PRELOAD", "PYTHONPATH", "PYTHONIOENCODING", "PYTHONHOME")


def is_plain() -> bool:
    """Whether the process would start as the warm one did."""
    if os.getuid() != 0 or any(os.environ.get(key) != PLAIN.get(key) for key in MATTERS):
        return False
    if "TracerPid:\t0\n" not in Path("/proc/self/status").read_text():
        return False
    known = json.loads(os.environ.get("WARM_LIMITS", "[]"))
    return bool(known == limits()) and all(map(is_open, (0, 1, 2)))


def limits() -> list[int]:
    """Those that worlds change."""
    return [
        resource.getrlimit(which)[0]
        for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC)
    ]


def is_open(stream: int) -> bool:
    """Whether a stream is there."""
    try:
        os.fstat(stream)
    except OSError:
        return False
    return True


def ask(place: str, real: str, arguments: list[str]) -> NoReturn:
    """Run a command, and end as it does."""
    if not is_plain():
        os.execv(real, [real, *arguments])
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(place)
    except OSError:
        os.execv(real, [real, *arguments])
    mask = os.umask(0o22)
    words = {"argv": [real, *arguments], "cwd": str(Path.cwd()), "env": dict(os.environ)}
    message = json.dumps(words | {"umask": mask}).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    line.sendmsg([len(message).to_bytes(4, "big")], rights)
    line.sendall(message)
    child = int(line.recv(20).decode())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _: os.kill(child, got))
    code = int(line.recv(20).decode() or "-9")
    sys.exit(code if code >= 0 else 128 - code)


def serve(place: str) -> None:
    """Fork for each that asks."""
    import updater.cli.commands  # noqa: F401, PLC0415 - who asks must not wait for it
    from updater.__main__ import main  # noqa: PLC0415

    door = socket.socket(socket.AF_UNIX)
    door.bind(place + ".new")
    door.listen(8)
    Path(place + ".new").chmod(0o777)
    Path(place + ".new").rename(place)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _ = door.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            door.close()
            handle(line, main)
        line.close()


def handle(line: socket.socket, main: Any) -> NoReturn:
    """Run the command in a child, and tell its number and how it ended."""
    size, rights, _, _ = line.recvmsg(4, socket.CMSG_SPACE(12))
    streams = array.array("i", rights[0][2])
    data = b""
    while len(data) < int.from_bytes(size, "big"):
        data += line.recv(65536)
    words = json.loads(data)
    child = os.fork()
    if child == 0:
        line.close()
        become(words, list(streams), main)
    for stream in streams:
        os.close(stream)
    line.sendall(str(child).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line.sendall(str(code).encode())
    os._exit(0)


def become(words: dict[str, Any], streams: list[int], main: Any) -> NoReturn:
    """Be the command."""
    os.chdir(words["cwd"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(words["umask"])
    os.environ.clear()
    os.environ.update(words["env"])
    sys.argv = words["argv"]
    code: Any = 1
    try:
        sys.exit(main())
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - as Python itself would end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    if sys.argv[1] == "-":
        ask(sys.argv[2], sys.argv[3], sys.argv[4:])
    serve(sys.argv[1])
