"""A patchtool that is warm: publishes what grounds ask for, each command in a fork.

    warm.py ASK ANSWER

Only grounds use it, to be made in a second instead of five; steps of worlds run the real command.
A request is the folder and the arguments, each ended by a NUL, and an empty one; the answer is a
line with the exit code. Output goes to `.said` and `.complaint` in the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from patchtool.cli.parser import main


def answer(folder: str, arguments: list[str]) -> int:
    """Run one command in a child; its exit code."""
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for name, stream in ((".said", 1), (".complaint", 2)):
            opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, stream)
        os.environ.update(
            UPSWAP_KEY_PASSWORD="some-long-password", TMPDIR=str(Path("tmp").resolve())
        )
        code = 1
        try:
            code = main(arguments)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve(ask: str, told: str) -> None:
    """Answer until nobody asks any more."""
    while True:
        with Path(ask).open("rb") as asked:
            words = asked.read().split(b"\0")
        if words == [b""]:
            continue
        folder, *arguments = [os.fsdecode(word) for word in words[:-2]]
        code = answer(folder, arguments)
        with Path(told).open("w") as out:
            out.write(f"{code}\n")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
