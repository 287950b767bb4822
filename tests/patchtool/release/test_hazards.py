"""The wrong folder: keys and repositories are never published, and the rest is told before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from patchtool.ceremonies.recovery_kit import new_keys
from patchtool.keys.signing_keys import Keys
from patchtool.release.add_release import ReleaseDraft, draft_release
from patchtool.release.outline import Difference, Outline
from patchtool.release.release_toml import Description

from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.trees.tree_strategies import manifest_of
from tests.support.trees.trees import Exe, Link, Tree, noise, write_tree
from updater.errors import FormatError, InstallError
from updater.format.release_description import Release

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
LOCKED = serialization.BestAvailableEncryption(b"a password")
OPEN = serialization.NoEncryption()


def draft(
    publisher: Publisher, folder: Path, *exclude: str, version: str = "2.0", empty: bool = False
) -> ReleaseDraft:
    said = Description(Release(), exclude)
    return draft_release(publisher.repository(), "notes", version, folder, said, allow_empty=empty)


def refused(publisher: Publisher, folder: Path, match: str) -> None:
    before = sorted(publisher.folder.rglob("*"))
    with pytest.raises((FormatError, InstallError), match=match) as caught:
        draft(publisher, folder)
    assert caught.value.hint
    assert sorted(publisher.folder.rglob("*")) == before


# Keys


def ours(publisher: Publisher) -> bytes:
    return (publisher.keys.folder / "release.pem").read_bytes()


SECRETS: dict[str, Callable[[Publisher], bytes]] = {
    "a key of this repository": ours,
    "with words around it": lambda p: b"KEY = '''\n" + ours(p) + b"'''\n",
    "with other line ends": lambda p: ours(p).replace(b"\n", b"\r\n"),
    "another's, encrypted": lambda _: Ed25519PrivateKey.generate().private_bytes(
        PEM, PKCS8, LOCKED
    ),
    "another's, for all to read": lambda _: Ed25519PrivateKey.generate().private_bytes(
        PEM, PKCS8, OPEN
    ),
}


@pytest.mark.parametrize("path", ["release.pem", "deep/down/config.txt", ".hidden"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_signing_key_is_refused_whatever_it_is_called(
    name: str, path: str, publisher: Publisher, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", {"app": Exe(b"1"), path: SECRETS[name](publisher)})
    refused(publisher, folder, "key")
    assert draft(publisher, folder, Path(path).name).outline.files == 1, "it may be left out"


def test_the_folder_of_the_keys_is_refused(publisher: Publisher) -> None:
    refused(publisher, publisher.keys.folder, "is a key of this repository")


def test_keys_of_another_repository_and_their_kits_are_refused(
    publisher: Publisher, tmp_path: Path
) -> None:
    new_keys(Keys(tmp_path / "k", PASSWORD), NOW, threshold=1, kits=tmp_path / "kits")
    refused(publisher, tmp_path / "k", "is a signing key")
    refused(publisher, tmp_path / "kits", "is (a signing key|part of a recovery kit)")
    for path in (tmp_path / "kits").rglob("*.pem"):
        path.unlink()
    refused(publisher, tmp_path / "kits", "is part of a recovery kit")


@pytest.mark.parametrize("locked", [True, False])
def test_a_private_key_of_another_kind_is_warned_of_and_published(
    *, locked: bool, publisher: Publisher, tmp_path: Path
) -> None:
    kinds: list[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ]
    for number, key in enumerate(kinds):
        data = key.private_bytes(PEM, PKCS8, LOCKED if locked else OPEN)
        folder = write_tree(tmp_path / f"{number}", {"app": Exe(b"1"), "tests/server.pem": data})
        assert draft(publisher, folder).warnings == ("it holds a private key: 'tests/server.pem'",)


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
        b"put -----BEGIN PRIVATE KEY----- before it and -----END PRIVATE KEY----- behind",
        b"-----BEGIN PRIVATE KEY-----",
    ],
    ids=["public", "words", "a beginning"],
)
def test_what_is_no_key_is_published_without_a_word(
    data: bytes, publisher: Publisher, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", {"app": Exe(b"1"), "readme": data})
    assert draft(publisher, folder).warnings == ()


# Repositories


def test_the_repository_and_what_is_in_it_are_refused(publisher: Publisher) -> None:
    publisher.release("1.0", {"f": b"1"})
    for folder in (publisher.folder, publisher.folder / "targets", publisher.folder / "metadata"):
        refused(publisher, folder, "is or lies in the repository")


def test_what_holds_the_repository_is_refused_even_if_it_is_excluded(
    publisher: Publisher, tmp_path: Path
) -> None:
    refused(publisher, tmp_path, "holds the repository")
    with pytest.raises(InstallError, match="holds the repository"):
        draft(publisher, tmp_path, "publisher/")


def test_a_way_to_the_repository_through_a_symlink_is_seen(
    publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(publisher.folder)
    refused(publisher, tmp_path / "link", "is or lies in the repository")


def test_another_repository_is_refused_as_a_release_and_within_one(
    publisher: Publisher, tmp_path: Path
) -> None:
    other = Publisher(tmp_path / "other")
    other.release("1.0", {"f": b"1"})
    refused(publisher, other.folder, "is or lies in the repository")
    shutil.copytree(other.folder, tmp_path / "r/sub/repo")
    refused(publisher, tmp_path / "r", "'sub/repo' is a repository")


# What is told


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".git/config", "the history of its source"),
        ("lib/.svn/entries", "the history of its source"),
        (".env", "settings that may hold passwords"),
        (".env.production", "settings that may hold passwords"),
        ("home/.aws/credentials", "settings that may hold passwords"),
        ("id_rsa", "what looks like a key"),
        ("certs/store.p12", "what looks like a key"),
        ("core", "a memory dump"),
        ("core.1234", "a memory dump"),
        ("a.dmp", "a memory dump"),
        ("lib/__pycache__/x.pyc", "what Python compiled when it ran"),
        (".DS_Store", "what a desktop leaves in folders"),
    ],
)
def test_what_a_release_rarely_means_to_hold_is_told(
    path: str, kind: str, publisher: Publisher, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", {"app": Exe(b"1"), path: b"2"})
    assert draft(publisher, folder).warnings == (f"it holds {kind}: {path!r}",)


def test_ordinary_releases_are_told_nothing(publisher: Publisher, tmp_path: Path) -> None:
    names = ["app", "core.py", "lib/core/x", "environment", "data.env.js", "gitignore", "x.dump"]
    folder = write_tree(tmp_path / "r", dict.fromkeys(names, b"1"))
    assert draft(publisher, folder).warnings == ()


@pytest.mark.parametrize(
    "tree", [{}, {"lib": None, "deep/er": None}], ids=["nothing", "empty folders"]
)
def test_an_empty_release_is_published_only_if_it_is_asked_for(
    tree: Tree, publisher: Publisher, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", tree)
    refused(publisher, folder, "has nothing in it to install")
    assert draft(publisher, folder, empty=True).outline.is_empty


def test_a_folder_whose_content_is_all_excluded_is_empty(
    publisher: Publisher, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", {"f": b"1"})
    with pytest.raises(FormatError, match="has nothing in it"):
        draft(publisher, folder, "*")


@pytest.mark.parametrize(
    ("tree", "is_told"),
    [
        ({f"{n}": noise(100, n) for n in range(5)}, False),
        ({f"{n}": noise(100, n) for n in range(4)}, True),
        ({f"{n}": noise(10, n) for n in range(10)}, True),
        ({"one": noise(5000)}, True),
    ],
    ids=["half", "fewer files", "fewer bytes", "few files"],
)
def test_a_release_of_less_than_half_of_the_one_before_is_told(
    *, tree: Tree, is_told: bool, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("1.0", {f"{n}": noise(100, n) for n in range(10)})
    said = draft(publisher, write_tree(tmp_path / "r", tree)).warnings
    assert [text.partition(":")[0] for text in said] == (
        ["it holds less than half of 1.0"] if is_told else []
    )


def test_a_release_is_compared_with_the_one_below_it(publisher: Publisher, tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "3.0"):
        publisher.add(version, {"version": version.encode()})
    folder = write_tree(tmp_path / "r", {"version": b"2.1", "new": b"1"})
    found = draft(publisher, folder, version="2.1").difference
    assert found is not None
    assert found.version == "2.0"
    assert [entry.path for entry in found.added] == ["new"]
    assert [entry.path for entry in found.changed] == ["version"]


def test_a_difference_is_told_in_words_and_numbers() -> None:
    old: Tree = {"same": b"1", "gone": b"22", "app": b"333", "link": Link("same"), "dir": None}
    new: Tree = {"same": b"1", "new": b"4444", "app": Exe(b"333"), "link": Link("app")}
    found = Difference.of(manifest_of(old), manifest_of(new))
    assert found.document == {
        "version": manifest_of(old).version,
        "added": {"entries": 1, "bytes": 4},
        "removed": {"entries": 2, "bytes": 2},
        "changed": {"entries": 2, "bytes": 3},
    }
    assert found.lines[1].endswith("2 (2 bytes): 'gone', 'dir'")
    assert Outline.of(manifest_of(old)).words == "3 files, 6 bytes, 1 symlinks, 1 empty folders"
    same = Difference.of(manifest_of(new), manifest_of(new))
    assert same.lines == [f"the same entries as {manifest_of(new).version}"]
