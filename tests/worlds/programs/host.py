"""A static host that misbehaves as it is told; a helper of scripts, standard library only.

    host.py FOLDER > port

It looks into the file `host` before each answer: lines of ``FAULT PATTERN``. PATTERN is a part of
the path, with wildcards; FAULT is missing, page (200, and a page for people), wrong (other bytes),
cut, error (503), stale (as it is in the folder `stale`), slow; welcome is a page for whatever is
not there, as hosts of single-page applications have it.
"""

from __future__ import annotations

import http.server
import os
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

PAGE = b"<!doctype html><title>Welcome</title><p>There is nothing here.\n"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of the folder, or what is told instead."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, well or not."""
        fault = next((f for f, part in _faults() if fnmatch(self.path, f"*{part}*")), "")
        place = Path(self.translate_path(self.path))
        if fault == "stale" and (Path("stale") / place.relative_to(Path.cwd())).is_file():
            place = Path("stale") / place.relative_to(Path.cwd())
        if fault == "slow":
            time.sleep(1)
        if fault == "error":
            self._answer(503, b"")
        elif fault == "missing":
            self._answer(404, b"")
        elif fault == "page":
            self._answer(200, PAGE)
        elif not place.is_file():
            welcomes = any(name == "welcome" for name, _ in _faults())
            self._answer(200, PAGE) if welcomes else self._answer(404, b"")
        else:
            self._file(place.read_bytes(), fault)

    def _file(self, data: bytes, fault: str) -> None:
        if fault == "wrong" and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        first = self.headers.get("Range", "")
        status, start, end = 200, 0, len(data)
        if first.startswith("bytes=") and "," not in first:
            status, (start, end) = 206, _range(first[6:], len(data))
        if start >= end and status == 206:
            self._answer(416, b"", f"bytes */{len(data)}")
            return
        part = f"bytes {start}-{end - 1}/{len(data)}" if status == 206 else ""
        self._answer(status, data[start:end], part, cut=fault == "cut")

    def _answer(self, status: int, data: bytes, part: str = "", *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _range(text: str, size: int) -> tuple[int, int]:
    begin, _, last = text.partition("-")
    if not begin:
        return max(0, size - int(last)), size
    return int(begin), min(size, int(last) + 1) if last else size


def _faults() -> list[tuple[str, str]]:
    try:
        lines = (ROOT / "host").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(line.split()[0], line.split()[1]) for line in lines]


ROOT = Path.cwd()
if __name__ == "__main__":
    os.chdir(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
