"""The list of public names: what is served, and how long it may be kept."""

from __future__ import annotations

import pytest

from patchserver.files.public_names import public_file
from tests.support.servers.asking import DIGEST

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("name", "cache_control"),
    [
        ("metadata/timestamp.json", "no-cache"),
        ("metadata/root.json", "no-cache"),
        ("metadata/1.root.json", IMMUTABLE),
        ("metadata/4294967296.snapshot.json", IMMUTABLE),
        ("metadata/2.targets.json", IMMUTABLE),
        ("metadata/3.app.notes-linux-x86-64.json", IMMUTABLE),
        ("metadata/3.channels.notes-linux-x86-64.json", IMMUTABLE),
    ],
)
def test_metadata_is_immutable_exactly_if_numbered(name: str, cache_control: str) -> None:
    public = public_file(name)
    assert public is not None
    assert public.cache_control == cache_control
    assert public.content_type == "application/json"
    assert public.sha256 is None


@pytest.mark.parametrize(
    "name",
    [
        f"targets/notes/releases/1.2.0/{DIGEST}.manifest",
        f"targets/notes/releases/2.0rc1.post2.dev3/{DIGEST}.bundle",
        f"targets/notes-linux-x86-64/patches/{DIGEST}.1.2.0_2.0rc1",
        f"targets/notes/channels/{DIGEST}.stable",
    ],
)
def test_targets_are_immutable_and_known_by_their_digest(name: str) -> None:
    public = public_file(name)
    assert public is not None
    assert public.cache_control == IMMUTABLE
    assert public.content_type == "application/octet-stream"
    assert public.sha256 == DIGEST


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "metadata",
        "metadata/",
        "metadata/timestamp.json/",
        "metadata/timestamp.json\n",
        "metadata/timestamp.json\0",
        "metadata/timestamp.json.tmp",
        "metadata/.timestamp.json",
        "metadata/TIMESTAMP.json",
        "metadata/0.root.json",
        "metadata/01.root.json",
        "metadata/-1.root.json",
        "metadata/\N{ARABIC-INDIC DIGIT ONE}.root.json",
        "metadata/12345678901.root.json",
        "metadata/1.root.pem",
        "metadata/1.mirrors.json",
        "metadata/1.app..json",
        "metadata/1.app.-notes.json",
        f"metadata/1.app.{'a' * 41}.json",
        "metadata/1.app.notes/../../keys.json",
        "metadata/../metadata/timestamp.json",
        "metadata//timestamp.json",
        "metadata\\timestamp.json",
        "keys/online.pem",
        "server.db",
        ".git/config",
        "targets/../metadata/timestamp.json",
        f"targets/{DIGEST}.manifest",
        f"targets/notes/{DIGEST}.manifest",
        "targets/notes/releases/1.2.0/manifest",
        f"targets/notes/releases/1.2.0/{DIGEST}.manifest.tmp",
        f"targets/notes/releases/1.2.0/.{DIGEST}.manifest",
        f"targets/notes/releases/1.2.0/{DIGEST.upper()}.manifest",
        f"targets/notes/releases/1.2.0/{DIGEST[1:]}.manifest",
        f"targets/notes/releases/../{DIGEST}.manifest",
        f"targets/notes/releases/./{DIGEST}.manifest",
        f"targets/../releases/1.2.0/{DIGEST}.manifest",
        f"targets/notes/patches/{DIGEST}.1.2.0",
        f"targets/notes/patches/{DIGEST}.{'1' * 25}_2",
        f"targets/notes/channels/{DIGEST}.stable.tmp",
        f"targets/notes/channels/{DIGEST}..",
    ],
)
def test_every_other_name_is_not_public(name: str) -> None:
    assert public_file(name) is None
