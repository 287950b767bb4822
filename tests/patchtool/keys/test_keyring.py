"""The key ring: each key is opened once, and one that was just made is there at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from patchtool.keys.keyring import KeyRing
from patchtool.keys.signing_keys import Keys

from tests.support.repository.publisher import PASSWORD
from updater.errors import InstallError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Keys(tmp_path / "keys", PASSWORD).make_missing(threshold=1)
    return tmp_path / "keys"


def test_a_person_is_asked_for_a_password_once_a_key(folder: Path) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return PASSWORD["UPSWAP_KEY_PASSWORD"]

    ring = KeyRing(Keys(folder, {}, ask))
    for role in ("snapshot", "timestamp", "channels.notes", "app.notes", "app.notes"):
        assert len(ring.signers(role)) == 1
    assert ["online.pem" in question for question in asked] == [True, False]


def test_a_key_that_was_made_signs_beside_those_that_were_opened(folder: Path) -> None:
    ring = KeyRing(Keys(folder, PASSWORD))
    (old,) = ring.at_hand("release", "notes")
    new, path = ring.make("release", "notes")
    assert path.parent == folder
    assert ring.signers("app.notes") == [old, new]


def test_a_kind_without_a_key_is_told_by_name(folder: Path) -> None:
    (folder / "release.pem").unlink()
    ring = KeyRing(Keys(folder, PASSWORD))
    assert (ring.has("app.notes"), ring.has("timestamp")) == (False, True)
    assert ring.at_hand("release") == []
    with pytest.raises(InstallError, match="no release key"):
        ring.signers("app.notes")


def test_a_key_that_ended_is_found_no_more(folder: Path) -> None:
    (signer,) = KeyRing(Keys(folder, PASSWORD)).at_hand("online")
    (path,) = KeyRing(Keys(folder, PASSWORD)).retire("online", [signer.public_key.keyid])
    assert path.name == "revoked-online.pem"
    assert not KeyRing(Keys(folder, PASSWORD)).has("timestamp")
