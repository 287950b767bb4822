"""Judges what a publisher has done, by real clients; copied into worlds, so it imports no tests.

    judge.py serve           a static host of the folder that `site` points to
    judge.py look REPO ...   clients `c*` and a new install ask it; doctor must know their fate

The commands run in forks of one process that has imported them: only starting them is saved.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

LIMIT = 60
"""Seconds for one command."""
REQUESTS_MOST = 60
"""Requests that doctor may send of what is published here."""
WELL = (0, 10)
PAGE = b"<!doctype html><title>Not here</title>"


def fail(what: str, message: str) -> NoReturn:
    """Tell the world which promise is broken."""
    print(f"FAIL: {what}: {message}")
    sys.exit(1)


class Host(http.server.SimpleHTTPRequestHandler):
    """Gives what `site` holds; with a file `pages`, a page for everything else."""

    def do_GET(self) -> None:
        with Path("requests").open("a") as log:
            log.write(f"{self.path}\n")
        if Path("pages").exists() and not Path(self.translate_path(self.path)).is_file():
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)
        else:
            super().do_GET()

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


def serve() -> None:
    """Serve for ever; the port is chosen once, below those that systems give away."""

    def handler(*args: Any) -> Host:
        return Host(*args, directory="site")

    http.server.ThreadingHTTPServer.daemon_threads = True
    place = Path("port")
    ports = [int(place.read_text())] if place.exists() else range(20000 + os.getpid() % 9000, 32000)
    for port in ports:
        try:
            host = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            continue
        place.write_text(str(port))
        Path("serving").touch()
        host.serve_forever()
    sys.exit("no port is free")


@dataclass(frozen=True)
class Command:
    """A command that was started here."""

    words: Sequence[str]
    pid: int
    log: Path

    @classmethod
    def start(cls, main: Callable[[Sequence[str]], int], *words: str) -> Command:
        """Run a command's own function in a fork."""
        sys.stdout.flush()
        log = Path(f"log-{'-'.join(words)[:60].replace('/', '_')}")
        pid = os.fork()
        if pid:
            return cls(words, pid, log)
        for number, name in ((1, f"{log}.out"), (2, f"{log}.err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        code = 1
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - whatever ends a command, python would print it
            import traceback  # noqa: PLC0415 - rarely

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @cached_property
    def code(self) -> int:
        """Its exit code; it ends, and without a traceback."""
        deadline = time.monotonic() + LIMIT
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                fail("1 endless", f"{' '.join(self.words)} does not end")
            time.sleep(0.005)
        code = os.waitstatus_to_exitcode(status)
        err = self._text("err")
        if "Traceback" in err or code not in (*WELL, 2, 3, 4, 5, 6, 7):
            fail("1 traceback", f"{' '.join(self.words)} ends with {code}: {err[-700:]}")
        return code

    @cached_property
    def err(self) -> str:
        """What it said for people."""
        assert self.code is not None  # it has ended
        return self._text("err")

    @cached_property
    def said(self) -> Mapping[str, Any]:
        """What it said for programs."""
        assert self.code is not None
        text = self._text("out")
        found, _ = json.JSONDecoder().raw_decode(text) if text.startswith("{") else ({}, 0)
        return dict(found)

    def _text(self, stream: str) -> str:
        return Path(f"{self.log}.{stream}").read_text(errors="replace")


STUCK = "recalled, nothing is offered"


@dataclass(frozen=True)
class Fate:
    """What one client gets."""

    who: str
    version: str
    """Installed; empty: nothing yet."""
    goal: str | None
    size: int
    is_well: bool
    words: str

    @property
    def lacks_offer(self) -> bool:
        """Nobody offers anything: for `doctor` to say, not for who signs anew."""
        return self.words == STUCK or "offers nothing" in self.words

    @classmethod
    def of_install(cls, client: Path, asked: Command) -> Fate:
        said = asked.said
        is_stuck = asked.code == 10 and bool(said.get("recalled"))
        is_well = asked.code in WELL and not is_stuck
        words = STUCK if is_stuck else f"{asked.code}: {asked.err[:300]}"
        version = (client / "version").read_text().strip()
        return cls(
            client.name, version, said.get("available"), said.get("fetch_bytes", 0), is_well, words
        )

    @classmethod
    def of_new(cls, asked: Command) -> Fate:
        goal = asked.said.get("to") if asked.code == 0 else None
        size = asked.said.get("full_bytes", 0)
        return cls("a new install", "", goal, size, asked.code == 0, f"{asked.code}: {asked.err}")


def look(options: argparse.Namespace) -> None:
    """Ask all of them, and compare."""
    from patchtool.cli.parser import main as patchtool  # noqa: PLC0415 - a host needs none of this

    from updater.cli.commands import main as updater  # noqa: PLC0415

    url = f"http://127.0.0.1:{Path('port').read_text()}"
    clients = sorted(place for place in Path().glob("c[0-9]") if place.is_dir())
    checks = [Command.start(updater, "check", "--json", "--dir", str(c)) for c in clients]
    root = "1.root.json"
    words = ["install", "--json", "--url", url, "--root", root, "--app", "app", "new"]
    new = Command.start(updater, *words)
    fates = [Fate.of_install(c, asked) for c, asked in zip(clients, checks, strict=True)]
    fates.append(Fate.of_new(new))
    Path("requests").write_text("")
    where = url if options.url else options.repository
    doctor = Command.start(patchtool, "doctor", "--json", "--root", root, where)
    _compare(options, fates, doctor)
    asked = len(Path("requests").read_text().splitlines())
    if asked > REQUESTS_MOST:
        fail("6 requests", f"doctor sends {asked} requests")
    _hold(options, fates, doctor)
    if fates[-1].goal is not None:
        _compare_trees(Path("rel", fates[-1].goal), Path("new"))
    for left in ("new", ".new.upswap"):
        shutil.rmtree(left, ignore_errors=True)


def _compare(options: argparse.Namespace, fates: Sequence[Fate], doctor: Command) -> None:
    """Whoever gets nothing is known to doctor, and each gets what doctor says."""
    told = f"doctor ends with {doctor.code}"
    for fate in fates:
        if not fate.is_well and doctor.code == 0:
            fail("6 hidden", f"{told}, and {fate.who} at {fate.version} gets: {fate.words}")
    forecast = doctor.said.get("clients", [])
    if doctor.said.get("refused") or options.remembered or not forecast:
        return
    for fate in fates:
        mine = [c for c in forecast if c["version"] == fate.version and c["channel"] == "stable"]
        if fate.is_well and mine and not any(c["goal"] == fate.goal for c in mine):
            fail("6 forecast", f"doctor says {mine}, and {fate.who} is offered {fate.goal}")


def _hold(options: argparse.Namespace, fates: Sequence[Fate], doctor: Command) -> None:
    """What a command has said, it has done; or doctor says that it did not come about."""
    for fate in fates:
        # who installs anew takes the last version that is left, paused or not
        kept = (options.withheld, options.paused if fate.version else None)
        if fate.goal is not None and fate.goal in kept:
            fail("6 said", f"{fate.goal} is withheld, and {fate.who} is offered it")
        if options.offered is None or not _is_below(fate.version, options.offered):
            continue
        if fate.goal != options.offered and (options.strict or doctor.code == 0):
            message = f"promote says {options.offered}, {fate.who} is offered"
            fail("6 said", f"{message} {fate.goal}: {fate.words}")
    for fate in fates:
        if options.well and not fate.is_well and not fate.lacks_offer:
            fail("6 said", f"{options.well} says well, and {fate.who} gets: {fate.words}")


def _is_below(version: str, other: str) -> bool:
    from packaging.version import Version  # noqa: PLC0415

    return not version or Version(version) < Version(other)


def _compare_trees(released: Path, installed: Path) -> None:
    """What is installed is what was published, to the byte."""
    if not released.is_dir():
        return
    here, there = dict(_entries(released)), dict(_entries(installed))
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            what = f"{name!r} was {here.get(name)!r:.200} and is {there.get(name)!r:.200}"
            fail("6 rewritten", f"{released.name}: {what}")
    for name, (kind, _, data) in there.items():
        if kind == "file" and b"PRIVATE KEY" in data:
            fail("6 key", f"{released.name} publishes a private key: {name!r}")


def _entries(top: Path) -> Iterator[tuple[bytes, tuple[str, bool, bytes]]]:
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in (*folders, *files):
            place = os.path.join(folder, name)  # noqa: PTH118 - bytes
            relative = os.path.relpath(place, os.fsencode(top))
            if os.path.islink(place):  # noqa: PTH114
                yield relative, ("link", False, os.readlink(place))  # noqa: PTH115
            elif os.path.isdir(place):  # noqa: PTH112
                yield relative, ("folder", False, b"")
            elif os.path.isfile(place):  # noqa: PTH113
                with open(place, "rb") as file:  # noqa: PTH123
                    yield relative, ("file", os.access(place, os.X_OK), file.read())
            else:
                yield relative, ("odd", False, b"")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("serve", "look"))
    parser.add_argument("repository", nargs="?", default="repo")
    parser.add_argument("--url", action="store_true", help="doctor looks at the host")
    parser.add_argument("--offered", help="what all below it must be offered")
    parser.add_argument("--strict", action="store_true", help="whatever doctor says of it")
    parser.add_argument(
        "--remembered",
        action="store_true",
        help="clients remember a time that was ahead: nobody else can know what they do",
    )
    parser.add_argument("--withheld", help="what nobody may be offered")
    parser.add_argument("--paused", help="what no install may be offered")
    parser.add_argument("--well", help="the command that says that all is well")
    options = parser.parse_args()
    if options.task == "serve":
        serve()
    else:
        look(options)


if __name__ == "__main__":
    main()
