"""Coverage-guided fuzzing of one parser: ``python -m tests.attacks.fuzz manifest ...``.

Needs atheris, which is no dependency of ours: it has wheels for Linux and few Python versions.
Words after the parser's name are libFuzzer's, as ``-max_total_time=900``. A parser fails that says
anything it did not promise, or takes more memory than ``-rss_limit_mb``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

OURS = ["updater", "updater.format.reports", "patchtool.release.release_toml", "json"]
PARSERS = "tests.support.attacks.parsers"


def main() -> int:
    """Fuzz the parser that is named, for as long as libFuzzer is told to; ``--list`` names all."""
    name, *words = sys.argv[1:] or ["--list"]
    if name == "--list":
        print(*import_module(PARSERS).NAMES)
        return 0
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=OURS):
        found = import_module(PARSERS)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # some parsers read files
    with TemporaryDirectory(dir=memory) as folder, TemporaryDirectory() as corpus:
        parser = found.parsers(Path(folder))[name]
        (Path(corpus) / "sample").write_bytes(parser.sample)

        def feed(data: bytes) -> None:
            with suppress(*parser.errors):
                parser.parse(data, Path(folder))

        atheris.Setup([sys.argv[0], corpus, "-rss_limit_mb=512", *words], feed)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
