"""Keys: protected by password and mode, one folder, told to nobody."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from patchtool.keys.signing_keys import PASSWORD, ROLES, Keys, Role, refuse_published, write_secret

from tests.support.repository.publisher import Publisher
from updater.disk.durable import WINDOWS
from updater.errors import InstallError

SECRET = "correct horse"
ENVIRONMENT = {PASSWORD: SECRET}

posix = pytest.mark.skipif(WINDOWS, reason="no mode bits")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "keys", ENVIRONMENT)
    made.make_missing(threshold=1)
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pem(key: Ed25519PrivateKey | X25519PrivateKey, password: bytes = b"") -> bytes:
    """A key as a PEM file."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def test_a_key_a_role_is_made_and_none_twice(keys: Keys) -> None:
    assert names(keys.folder) == {f"{role}.pem" for role in ROLES}
    before = {path.name: path.read_bytes() for path in keys.folder.iterdir()}
    assert keys.make_missing(threshold=1) == []
    (keys.folder / "online.pem").unlink()
    assert keys.make_missing(threshold=1) == [keys.folder / "online.pem"]
    after = {path.name: path.read_bytes() for path in keys.folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"online.pem"}


def test_all_keys_differ(keys: Keys) -> None:
    identities = [signer.public_key.keyid for role in ROLES for signer in keys.signers(role)]
    assert len(set(identities)) == len(ROLES)


@pytest.mark.parametrize("threshold", [2, 3])
def test_a_threshold_gets_one_root_key_to_spare(threshold: int, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", ENVIRONMENT)
    keys.make_missing(threshold)
    assert len(keys.signers("root")) == threshold + 1
    assert len(keys.signers("release")) == 1


def test_keys_on_disk_are_encrypted(keys: Keys) -> None:
    for path in keys.folder.iterdir():
        data = path.read_bytes()
        assert data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        assert b"BEGIN PRIVATE KEY" not in data
        assert SECRET.encode() not in data


@posix
def test_only_their_owner_may_read_them_whatever_the_umask(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", ENVIRONMENT)
    before = os.umask(0)
    try:
        keys.make_missing(threshold=1)
    finally:
        os.umask(before)
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in keys.folder.iterdir()} == {0o600}


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_others_may_touch_is_refused(mode: int, keys: Keys) -> None:
    path = keys.folder / "release.pem"
    path.chmod(mode)
    with pytest.raises(InstallError, match="can be read by others") as caught:
        keys.signers("release")
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("role", ROLES)
def test_a_wrong_password_is_told_with_the_file_and_the_variable(role: Role, keys: Keys) -> None:
    wrong = Keys(keys.folder, {PASSWORD: "incorrect"})
    with pytest.raises(InstallError, match=rf"{role}\.pem cannot be opened") as caught:
        wrong.signers(role)
    assert PASSWORD in caught.value.hint
    assert "incorrect" not in f"{caught.value} {caught.value.hint}".replace("Incorrect", "")


@pytest.mark.parametrize("environment", [{}, {PASSWORD: ""}, {f"{PASSWORD}_ROOT": SECRET}])
def test_without_a_password_nothing_is_opened_and_nothing_made(
    environment: Mapping[str, str], keys: Keys, tmp_path: Path
) -> None:
    with pytest.raises(InstallError, match="no password for") as caught:
        Keys(keys.folder, environment).signers("release")
    assert caught.value.hint == f"set {PASSWORD}"
    with pytest.raises(InstallError, match="no password for"):
        Keys(tmp_path / "new", environment).make_missing(threshold=1)
    made = names(tmp_path / "new")
    assert made <= {"root.pem"}, "only what has a password"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_have_a_password_of_its_own(role: Role, tmp_path: Path) -> None:
    own = f"{PASSWORD}_{role.upper()}"
    keys = Keys(tmp_path, {PASSWORD: SECRET, own: "its own"})
    keys.make_missing(threshold=1)
    assert len(keys.signers(role)) == 1
    shared = Keys(tmp_path, {PASSWORD: SECRET})
    with pytest.raises(InstallError, match="cannot be opened"):
        shared.signers(role)
    for other in set(ROLES) - {role}:
        assert len(shared.signers(other)) == 1


def test_who_can_be_asked_is_asked_only_when_the_environment_is_silent(keys: Keys) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return SECRET

    Keys(keys.folder, ENVIRONMENT, ask).signers("online")
    assert asked == []
    Keys(keys.folder, {}, ask).signers("online")
    assert asked == [f"password of {keys.folder / 'online.pem'}: "]


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_key_is_told_with_its_role(role: Role, keys: Keys, tmp_path: Path) -> None:
    (keys.folder / f"{role}.pem").unlink()
    for folder in (keys.folder, tmp_path / "nowhere"):
        with pytest.raises(InstallError, match=f"no {role} key in") as caught:
            Keys(folder, ENVIRONMENT).signers(role)
        assert f"{role}.pem" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be opened"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "cannot be opened"),
        (pem(Ed25519PrivateKey.generate()), "cannot be opened: .*not encrypted"),
        (pem(X25519PrivateKey.generate(), SECRET.encode()), "not an Ed25519 key"),
    ],
    ids=["empty", "nonsense", "not encrypted", "of another kind"],
)
def test_what_is_no_protected_ed25519_key_is_refused(data: bytes, reason: str, keys: Keys) -> None:
    (keys.folder / "release.pem").write_bytes(data)
    with pytest.raises(InstallError, match=reason):
        keys.signers("release")


def test_no_private_key_is_in_the_repository_folder(publisher: Publisher) -> None:
    publisher.release("1.0", {"f": b"1"})
    for path in publisher.folder.rglob("*"):
        assert path.suffix != ".pem"
        assert path.is_dir() or b"PRIVATE" not in path.read_bytes()


def command(code: str) -> str:
    """A command line that runs a line of Python, like a secret store's client."""
    return shlex.join([sys.executable, "-c", code])


def identity(keys: Keys, role: Role) -> list[str]:
    return [signer.public_key.keyid for signer in keys.signers(role)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("protected", [True, False], ids=["with a password", "without"])
def test_a_key_may_come_from_a_variable(role: Role, protected: bool, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    text = pem(key, SECRET.encode() if protected else b"").decode()
    environment = {f"UPSWAP_KEY_{role.upper()}": text} | (ENVIRONMENT if protected else {})
    keys = Keys(tmp_path / "nowhere", environment)
    assert keys.has(role)
    (signer,) = keys.signers(role)
    assert signer.private_bytes == pem(key)
    assert [other for other in ROLES if keys.has(other)] == [role]


@pytest.mark.parametrize("role", ROLES)
def test_a_key_may_be_told_by_a_command(role: Role, keys: Keys, tmp_path: Path) -> None:
    path = keys.folder / f"{role}.pem"
    line = command(f"print(open({str(path)!r}).read())")
    told = Keys(tmp_path / "nowhere", {f"UPSWAP_KEY_{role.upper()}_COMMAND": line, **ENVIRONMENT})
    assert told.has(role)
    assert identity(told, role) == identity(keys, role)


def test_one_key_from_two_places_is_one_key(keys: Keys) -> None:
    both = Keys(
        keys.folder, {"UPSWAP_KEY_ONLINE": (keys.folder / "online.pem").read_text(), **ENVIRONMENT}
    )
    assert identity(both, "online") == identity(keys, "online")


@pytest.mark.parametrize("role", ROLES)
def test_a_key_that_stands_in_a_variable_is_not_made_again(role: Role, tmp_path: Path) -> None:
    text = pem(Ed25519PrivateKey.generate()).decode()
    keys = Keys(tmp_path / "keys", {f"UPSWAP_KEY_{role.upper()}": text, **ENVIRONMENT})
    made = keys.make_missing(threshold=1)
    assert [path.stem for path in made] == [other for other in ROLES if other != role]
    assert all(len(keys.signers(other)) == 1 for other in ROLES)


def test_a_command_learns_no_key_and_no_password(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    line = command(f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ)))")
    environment = {
        "UPSWAP_KEY_ONLINE_COMMAND": line,
        "UPSWAP_KEY_ROOT": "secret root",
        "TOKEN": "for the store",
        **ENVIRONMENT,
    }
    with pytest.raises(InstallError, match="UPSWAP_KEY_ONLINE_COMMAND cannot be opened"):
        Keys(tmp_path, environment).signers("online")
    assert "for the store" in seen.read_text()
    assert SECRET not in seen.read_text()
    assert "secret root" not in seen.read_text()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (command("raise SystemExit(3)") + " --token=abc123", "exit code 3"),
        ("/no/such/client --token=abc123", "FileNotFoundError"),
        ("'--token=abc123", "ValueError"),
        (command("while True: print('abc123' * 1000)"), "more than a key"),
        (command("import time; time.sleep(600)") + " --token=abc123", "TimeoutExpired"),
    ],
)
def test_a_command_that_fails_is_told_without_its_words(
    line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchtool.keys.key_command.SECONDS", 2)
    with pytest.raises(InstallError, match=f"gave no key: {reason}") as caught:
        Keys(tmp_path, {"UPSWAP_KEY_RELEASE_COMMAND": line}).signers("release")
    assert "abc123" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("variable", ["UPSWAP_KEY_ONLINE", "UPSWAP_KEY_ONLINE_COMMAND"])
@pytest.mark.parametrize("text", ["secret nonsense", pem(X25519PrivateKey.generate()).decode()])
def test_what_is_no_key_is_told_by_the_name_of_its_variable_alone(
    variable: str, text: str, tmp_path: Path
) -> None:
    value = text if variable == "UPSWAP_KEY_ONLINE" else command(f"print({text!r})")
    with pytest.raises(InstallError, match=f"{variable} (cannot be opened|is not an Ed25519)") as e:
        Keys(tmp_path, {variable: value}).signers("online")
    assert text not in str(e.value)


@posix
def test_another_key_is_made_as_carefully_as_the_first(keys: Keys) -> None:
    before = os.umask(0)
    try:
        made = [keys.make_another("online") for _ in range(2)]
    finally:
        os.umask(before)
    assert [path.name for path in made] == ["online-2.pem", "online-3.pem"]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert all(b"ENCRYPTED" in path.read_bytes() for path in made)
    assert len(set(identity(keys, "online"))) == 3


def test_a_retired_key_is_kept_and_signs_no_more(keys: Keys) -> None:
    old = identity(keys, "release")
    new = keys.make_another("release")
    data = (keys.folder / "release.pem").read_bytes()
    (moved,) = keys.retire("release", old)
    assert moved == keys.folder / "revoked-release.pem"
    assert moved.read_bytes() == data
    assert keys.paths("release") == [new]
    assert keys.make_another("release").name == "release-3.pem"


def test_secrets_are_not_put_where_a_repository_is_served(publisher: Publisher) -> None:
    for place in (publisher.folder, publisher.folder / "keys", publisher.folder / "metadata/a/b"):
        with pytest.raises(InstallError, match="lies inside the repository"):
            refuse_published(place)
    refuse_published(publisher.keys.folder)


@pytest.mark.skipif(WINDOWS, reason="there are no such files")
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "huge"])
def test_what_is_no_key_file_is_neither_waited_for_nor_read_whole(what: str, keys: Keys) -> None:
    path = keys.folder / "online.pem"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path, 0o600)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch(0o600)
        os.truncate(path, 2**40)
    with pytest.raises(InstallError, match=r"online\.pem is no key file"):
        keys.signers("online")


@pytest.mark.parametrize("links", [True, False])
def test_a_key_that_was_not_written_whole_is_not_there(
    links: bool, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a kill: the next command would find half a key, and so would all others."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    def linkless(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", linkless)
    before = sorted(keys.folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InstallError, match="no space left"):
            keys.make_another("online")
    assert sorted(keys.folder.iterdir()) == before
    made = keys.make_another("online")
    assert len(keys.signers("online")) == 2
    assert WINDOWS or made.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_secret(made, b"another")
    assert sorted(keys.folder.iterdir()) == sorted([*before, made])


@pytest.mark.parametrize("made", range(7))
@pytest.mark.parametrize(("threshold", "root_keys"), [(1, 2), (2, None), (3, 5)])
def test_keys_whose_making_was_stopped_are_as_many_in_the_end(
    made: int, threshold: int, root_keys: int | None, tmp_path: Path
) -> None:
    """Else there would be no spare root key, and nobody would know."""
    whole = Keys(tmp_path / "whole", ENVIRONMENT).make_missing(threshold, root_keys)
    keys = Keys(tmp_path / "keys", ENVIRONMENT)
    keys.folder.mkdir(mode=0o700)
    for path in whole[:made]:
        shutil.copy2(path, keys.folder)
    keys.make_missing(threshold, root_keys)
    assert {p.name for p in keys.folder.iterdir()} == {path.name for path in whole}
