"""A tour of upswap: a publisher releases the sample application, a user's copy updates itself.

Run as ``make demo``, or ``.venv/bin/python sample_releases/demo.py`` (Linux, macOS). Every
command shown is really run, in a temporary folder; the exit code is 0 if all of it worked.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trees import lay_out

PATIENCE = 20
"""Seconds a command may take."""
UPDATER = ("python", "-m", "updater")
PATCHTOOL = ("python", "-m", "patchtool")
KEYS = ("--app", "notes", "--keys", "keys")
NOTES = "apps/notes/notes"


class StepFailed(Exception):
    """A step of the tour did not do what it should; says which, with its output."""


class Shell:
    """Runs command lines in one folder and shows them as a terminal would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.env = {**os.environ, "PATH": path, "HOME": str(folder), "PYTHONUTF8": "1"}

    def run(self, *words: str) -> str:
        """Show and run one command line; its output."""
        show_command(words)
        try:
            done = self._capture(words)
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"{error}; its output: {error.stdout!r}") from error
        except OSError as error:
            raise StepFailed(str(error)) from error
        print(done.stdout, end="", flush=True)
        if done.returncode:
            raise StepFailed(f"exit code {done.returncode} of: {shlex.join(words)}")
        return done.stdout

    def _capture(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            real(words),
            cwd=self.folder,
            env=self.env,
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    @contextmanager
    def background(self, *words: str) -> Iterator[Path]:
        """Show a command line and run it meanwhile; yields the file of its output."""
        show_command((*words, "&"))
        log = self.folder / "background.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                real(words), cwd=self.folder, env=self.env, stdout=output, stderr=output
            )
        try:
            yield log
        finally:
            stop(process)


def show_command(words: Sequence[str]) -> None:
    """Print a command line as it would be typed."""
    print("$", " ".join(word if word == "&" else shlex.quote(word) for word in words), flush=True)


def real(words: Sequence[str]) -> list[str]:
    """``words``, with ``python`` being the one that runs this tour."""
    return [sys.executable if words[0] == "python" else words[0], *words[1:]]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it is doing."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Give the tour; the exit code."""
    with tempfile.TemporaryDirectory(prefix="upswap-demo-") as folder:
        try:
            tour(Shell(Path(folder)))
        except StepFailed as error:
            print(f"error: the tour ends here: {error}", file=sys.stderr)
            return 1
    return 0


def tour(shell: Shell) -> None:
    """All of it, in order."""
    say("A publisher makes a repository with its keys, and puts version 1.0.0 into it.")
    make_repository(shell)
    publish(shell, "1.0.0")
    say("A server offers the repository; a user installs the application.")
    with serving(shell) as url:
        install(shell, url)
        say("The publisher releases two more versions.")
        publish(shell, "1.1.0")
        publish(shell, "2.0.0")
        say("The installed application finds that, updates itself and starts as the new version.")
        update(shell)
        say("The next release is broken. It crashes at its first start, and 2.0.0 is back.")
        publish_broken(shell, "2.0.1")
        fall_back(shell)
    say("Is it really 2.0.0 now, and are the user's notes still there?")
    verify(shell)


def say(title: str) -> None:
    """Print a heading, as a comment of a shell session."""
    print(f"\n# {title}", flush=True)


def make_repository(shell: Shell) -> None:
    """Make the keys, their password, and an empty repository."""
    shell.env["UPSWAP_KEY_PASSWORD"] = secrets.token_urlsafe(20)
    print("$ export UPSWAP_KEY_PASSWORD=...  # a random one")
    shell.run(*PATCHTOOL, "init", "repo", *KEYS)


def publish(shell: Shell, version: str) -> None:
    """Add a sample release to the repository and let the channel ``stable`` offer it."""
    lay_out(version, shell.folder / "releases" / version)
    add_release(shell, version)


def add_release(shell: Shell, version: str) -> None:
    """Publish a release folder, and let the channel ``stable`` offer it."""
    release = (f"releases/{version}", "--config", f"releases/{version}.toml")
    shell.run(*PATCHTOOL, "add-release", "repo", "--version", version, *release, *KEYS, "--quiet")
    shell.run(*PATCHTOOL, "promote", "repo", "--version", version, "--channel", "stable", *KEYS)


@contextmanager
def serving(shell: Shell) -> Iterator[str]:
    """Serve the repository meanwhile; yields its URL."""
    server = ("python", "-m", "patchserver", "serve", "--repo", "repo", "--port", "0")
    with shell.background(*server) as log:
        line = first_line(log)
        print(line)
        yield line.rpartition(" at ")[2]


def first_line(log: Path) -> str:
    """What the server says once it listens."""
    end = time.monotonic() + PATIENCE
    while not re.match(r"serving .+ at http://\S+\n", text := log.read_text(encoding="utf-8")):
        if "error" in text or time.monotonic() > end:
            raise StepFailed(f"the server does not start\n{text}")
        time.sleep(0.05)
    return text.splitlines()[0]


def install(shell: Shell, url: str) -> None:
    """Install what ``stable`` offers, and use it."""
    source = ("--url", url, "--root", "repo/metadata/1.root.json", "--app", "notes")
    shell.run(*UPDATER, "install", *source, "apps/notes", "--quiet")
    expect(shell.run(NOTES, "--version"), "notes 1.0.0")
    shell.run(NOTES, "add", "Smørrebrød for lunch")
    expect(shell.run(NOTES, "search", "smorrebrod"), "No notes here.")


def update(shell: Shell) -> None:
    """Let the application update itself; it goes on as the new version, which tells its name."""
    output = shell.run(NOTES, "update")
    expect(output, "updated 1.0.0 -> 2.0.0")
    expect(output, "\nnotes 2.0.0")


def publish_broken(shell: Shell, version: str) -> None:
    """Release 2.0.0 once more, with a bug, as a version that must confirm that it works."""
    folder = shell.folder / "releases" / version
    lay_out("2.0.0", folder)
    (folder / "keeper" / "cli.py").write_text('raise RuntimeError("a bug")\n', encoding="utf-8")
    text = 'entry = "notes"\nconfirm = "app"\n'
    (shell.folder / "releases" / f"{version}.toml").write_text(text, encoding="utf-8")
    add_release(shell, version)


def fall_back(shell: Shell) -> None:
    """Update to the broken release, start it, and see the one before answer."""
    shell.run(*UPDATER, "update", "--dir", "apps/notes", "--no-restart", "--quiet")
    start = ("launch", "--dir", "apps/notes", "--", "search", "smorrebrod")
    output = shell.run(*UPDATER, *start)
    expect(output, "RuntimeError: a bug")
    expect(output, "2.0.1 ended with exit code 1: 2.0.0 is back")
    expect(output, "Smørrebrød for lunch")
    expect(shell.run(*UPDATER, "status", "--dir", "apps/notes"), "bad: 2.0.1")


def verify(shell: Shell) -> None:
    """Compare the install with the release, entry by entry, and try it."""
    installed = entries(shell.folder / "apps" / "notes")
    released = entries(shell.folder / "releases" / "2.0.0")
    wrong = sorted(path for path, _ in installed.items() ^ released.items())
    if wrong:
        raise StepFailed(f"not as in release 2.0.0: {', '.join(wrong)}")
    kinds = Counter(entry[0] for entry in installed.values())
    counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    print(f"apps/notes equals releases/2.0.0, entry by entry ({counts})")
    expect(shell.run(NOTES, "search", "smorrebrod"), "Smørrebrød for lunch")


def entries(root: Path) -> dict[str, tuple[str, str | bytes]]:
    """Kind and content of all that is in ``root``, by path; Python's caches do not count."""
    places = (place for place in root.rglob("*") if "__pycache__" not in place.parts)
    return {place.relative_to(root).as_posix(): entry(place) for place in places}


def entry(place: Path) -> tuple[str, str | bytes]:
    """Kind and content of one entry."""
    if place.is_symlink():
        return "symlinks", str(place.readlink())
    if place.is_dir():
        return ("folders" if any(place.iterdir()) else "empty folders"), ""
    is_executable = os.access(place, os.X_OK)
    return ("executables" if is_executable else "files"), place.read_bytes()


def expect(output: str, text: str) -> None:
    """Require that a command printed ``text``."""
    if text not in output:
        raise StepFailed(f"{text!r} expected in that output")


if __name__ == "__main__":
    sys.exit(main())
