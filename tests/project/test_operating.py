"""docs/operating.md as a test: every command is run, and clients installed before follow."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from patchtool.keys.signing_keys import Keys

from tests.support.paths import ROOT
from tests.support.repository.seen_by_clients import look, offered
from tests.support.servers.api_server import ApiServer, api_served
from updater.disk.durable import WINDOWS
from updater.errors import TrustError

TEXT = (ROOT / "docs/operating.md").read_text("utf-8")
PASSWORD = {"UPSWAP_KEY_PASSWORD": "a-long-one"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WINDOWS, reason="the recipes are for a POSIX shell"),
]

NO_RECIPES = {"Who holds what", "Exit codes", "A clock that is wrong"}
"""Sections that explain; what they say is tested by test_exit_codes and test_patchtool_clock."""


def recipe(title: str) -> list[str]:
    """The shell blocks of one section."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert blocks
    return blocks


class Shell:
    """A folder in which recipes are followed to the letter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / ".bin"
        programs.mkdir(parents=True)
        line = shlex.join([sys.executable, "-m", "patchtool"])
        (programs / "patchtool").write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (programs / "patchtool").chmod(0o755)
        self._path = f"{programs}:{os.environ['PATH']}"
        (folder / "release").mkdir()

    def release(self, content: str) -> None:
        (self.folder / "release/f").write_text(content)

    def follow(self, *blocks: str, code: int = 0, **variables: str) -> str:
        """Run each block in a shell of its own that ends at the first error; what they said.

        ``code``: with which exit code it ends.
        """
        said = ""
        paths = {"PATH": self._path, "PYTHONPATH": os.pathsep.join(sys.path)}
        for block in blocks:
            done = subprocess.run(
                ["/bin/sh", "-euc", block],
                cwd=self.folder,
                env={**os.environ, **PASSWORD, **paths, **variables},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == code, done.stderr
            said += done.stdout
        return said

    @property
    def root(self) -> bytes:
        return (self.folder / "repo/metadata/1.root.json").read_bytes()

    def sees(self, client: str) -> set[str]:
        """Versions a client is offered, everything of which is there."""
        repository = self.folder / "repo"
        now = int(time.time())
        return offered(repository, look(repository, self.folder / client, self.root, now))

    def check(self, *versions: str) -> None:
        """A client from before and a new one see the same; no key lies about; all is well."""
        new = f"new-{time.monotonic_ns()}"
        assert self.sees("old") == self.sees(new) == set(versions)
        self.follow("patchtool doctor repo")
        assert not list((self.folder / "repo").rglob("*.pem"))
        left = [path.name for path in (self.folder / "keys").iterdir()]
        assert not [name for name in left if re.match(r"(root|targets).*\.pem", name)], "put away"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """After the first two recipes."""
    shell = Shell(tmp_path / "here")
    shell.release("1")
    shell.follow(*recipe("First release"))
    shell.sees("old")
    shell.release("2")
    shell.follow(*recipe("Everyday release, from CI"))
    return shell


def test_first_and_everyday_release(shell: Shell) -> None:
    shell.check("1.0.0", "1.1.0")


def test_withdrawing_a_release(shell: Shell) -> None:
    said = shell.follow(*recipe("A release is withdrawn"))
    assert "its installs go to 1.0.0 at lowest" in said
    assert "stable: they go to 1.0.0" in said
    shell.check("1.0.0", "1.1.0")
    with pytest.raises(AssertionError, match="was recalled"):
        shell.follow("patchtool promote repo --app notes --version 1.1.0 --keys keys")


def test_pruning(shell: Shell) -> None:
    local, _ = recipe("The repository stays small")
    said = shell.follow(local, code=10)
    assert "0 targets are published no more" in said
    shell.check("1.0.0", "1.1.0")


def test_serving_a_copy(shell: Shell) -> None:
    shell.follow(*recipe("A static host serves it"))
    shell.follow("patchtool doctor host")
    host = shell.folder / "host"
    seen = look(host, shell.folder / "old", shell.root, int(time.time()))
    assert offered(host, seen) == {"1.0.0", "1.1.0"}
    shell.follow(*recipe("A static host serves it"), code=10)


def test_hosting_several_apps(shell: Shell) -> None:
    add, change = recipe("Several apps in one repository")
    said = shell.follow(add)
    assert re.search(r"^draw: release key [0-9a-f]{8}$", said, re.MULTILINE)
    assert (shell.folder / "keys/release.draw.pem").exists()
    shell.check("1.0.0", "1.1.0")
    shell.follow(change)
    assert (shell.folder / "keys/revoked-release.draw.2.pem").exists()
    shell.check("1.0.0", "1.1.0")


def test_replacing_a_key_without_hurry(shell: Shell) -> None:
    first, second = recipe("A key is replaced, without hurry")
    shell.follow(first)
    assert shell.sees("old") == {"1.0.0", "1.1.0"}
    shell.follow(second)
    shell.check("1.0.0", "1.1.0")
    assert (shell.folder / "keys/revoked-release.pem").exists()


def test_losing_a_key(shell: Shell) -> None:
    online, root = recipe("A key is lost")
    shell.follow(online)
    kits = [(shell.folder / f"kits/kit-{n}/README.txt").read_text() for n in (1, 2)]
    listed = shell.follow("patchtool keys list repo").splitlines()[0]
    ids = re.findall(r"\b[0-9a-f]{8}\b", listed)
    (lost,) = [keyid for keyid in ids if not any(keyid in words for words in kits)]
    said = shell.follow(root, LOST=lost)
    assert re.search(rf"root key {lost}\w+ ends", said)
    (new,) = (shell.folder / "keys").glob("root-*.pem")
    new.replace(shell.folder / "kits" / new.name)
    shell.check("1.0.0", "1.1.0")


def test_a_stolen_key(shell: Shell) -> None:
    shell.follow("mkdir thief; cp keys/online.pem keys/release.pem thief")
    thief = Keys(shell.folder / "thief", PASSWORD)
    both = thief.signers("release") + thief.signers("online")
    stolen = {signer.public_key.keyid for signer in both}
    shell.follow(*recipe("A key is stolen"))
    shell.check("1.0.0", "1.1.0")
    listed = shell.follow("patchtool keys list repo")
    assert not any(keyid[:8] in listed for keyid in stolen)
    with pytest.raises(AssertionError, match="is not the one"):
        shell.follow("patchtool promote repo --app notes --version 1.0.0 --keys thief")


def test_several_people_sign(shell: Shell) -> None:
    propose, sign, publish = recipe("Several people sign, each on their own machine")
    shell.follow(propose)
    assert shell.sees("old") == {"1.0.0", "1.1.0"}
    shell.follow(sign, publish)
    assert (shell.folder / "repo/metadata/2.root.json").exists()
    new = shell.folder / "keys/targets-2.pem"
    new.replace(shell.folder / "kits" / new.name)
    shell.check("1.0.0", "1.1.0")


def test_rolling_out_in_steps(shell: Shell) -> None:
    said = shell.follow(*recipe("A rollout in steps"))
    assert "to 10 % of its installs, to 50 % from" in said
    assert "goes on" in said
    shell.check("1.0.0", "1.1.0")


def test_publishing_on_a_server(shell: Shell) -> None:
    shell.follow("cp repo/metadata/1.root.json root.json; cp -r keys online")
    shell.release("3")
    online = Keys(shell.folder / "online", PASSWORD)
    now = int(time.time())
    with api_served(ApiServer(shell.folder / "repo", online, now, writes=True)) as server:
        ci = partial(shell.follow, URL=server.url, UPSWAP_TOKEN=server.token)
        said = ci(*recipe("A server publishes, CI signs"))
        assert "notes: release metadata" in said
        assert "is offered to no install" in said
        ci('patchtool push copy --to "$URL"', code=10)
    assert shell.sees("old") == {"1.0.0", "1.1.0", "1.2.0"}


def test_pruning_what_a_server_publishes(shell: Shell) -> None:
    """Of so few releases nothing goes, and each line says so."""
    shell.follow("cp repo/metadata/1.root.json root.json; cp -r keys online")
    online = Keys(shell.folder / "online", PASSWORD)
    _, remote = recipe("The repository stays small")
    fetch, prune, push = remote.splitlines()
    now = int(time.time())
    with api_served(ApiServer(shell.folder / "repo", online, now, writes=True)) as server:
        ci = partial(shell.follow, URL=server.url, UPSWAP_TOKEN=server.token)
        ci(fetch)
        assert "0 targets are published no more" in ci(prune, code=10)
        ci(push, code=10)
    assert shell.sees("old") == {"1.0.0", "1.1.0"}


def test_every_recipe_is_followed_here() -> None:
    titles = set(re.findall(r"^## (.*)$", TEXT, re.MULTILINE))
    source = Path(__file__).read_text("utf-8")
    assert {title for title in titles if f'recipe("{title}")' not in source} == NO_RECIPES
    assert TrustError.exit_code == 4
    assert "exit code 4" in TEXT
