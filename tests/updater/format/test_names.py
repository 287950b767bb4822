"""Names that stand in target names: apps, channels, versions, digests."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, versions
from updater.errors import FormatError
from updater.format.names import UNKNOWN, Digest, check_app, check_channel, check_version, order

NAMES = ["a", "0", "notes", "notes-linux-x86-64", "9-9", "a--", "x" * 40]
NO_NAMES = [
    *("", "-a", "A", "Notes", "a_b", "a.b", "a b", "a/b", "a%2f", "\u0430", "a\n", "\na", "a\0"),
    *("x" * 41, "root", "targets", "snapshot", "timestamp"),
]  # fmt: skip
NO_VERSIONS = [
    *(
        "",
        " ",
        "v1.0",
        "V1",
        "1.0 ",
        " 1.0",
        "1.0\n",
        "1.00",
        "01.0",
        "1.0-1",
        "1.0-rc1",
        "1.0.rc1",
    ),
    *(
        "1.0RC1",
        "1.0c1",
        "1.0alpha1",
        "1.0rc",
        "1.0.post",
        "1.0+local",
        "1!1.0",
        "0!1.0",
        "1.",
        "1..0",
    ),
    *("1.0.*", "x", "../1", "1/0", "1_0", "latest", "\uff11.0", "1" * 25, "9" * 10_000),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_accepted(name: str) -> None:
    assert check_app(name) == check_channel(name) == name


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_names_refused(name: str) -> None:
    for check, what in ((check_app, "app"), (check_channel, "channel")):
        with pytest.raises(FormatError, match=f"{what} name"):
            check(name)


@pytest.mark.parametrize("text", ["0", "1.0", "1.0.0", "2026.10.1", "2.0rc1", "1.0.post1.dev2"])
def test_versions_accepted(text: str) -> None:
    assert check_version(text) == text


@pytest.mark.parametrize("text", NO_VERSIONS, ids=lambda text: ascii(text[:20]))
def test_versions_refused(text: str) -> None:
    with pytest.raises(FormatError, match="refused"):
        check_version(text)


def test_the_normalised_spelling_is_named() -> None:
    with pytest.raises(FormatError) as caught:
        check_version("1.0-RC1")
    assert caught.value.hint == "spell it 1.0rc1"


@SETTINGS
@given(versions)
def test_an_accepted_version_is_one_part_of_a_target_name(text: str) -> None:
    assert check_version(text) == text
    assert not set(text) & set("/_%\\ ")


def test_versions_are_ordered_as_versions_not_as_text() -> None:
    listed = ["1.0.dev1", "1.0a1", "1.0b1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "2.0"]
    assert sorted(listed) != listed
    assert sorted(set(listed), key=order) == listed


def test_a_digest_is_sha256_and_spelled_in_one_way() -> None:
    digest = Digest.of(b"abc")
    assert str(digest) == hashlib.sha256(b"abc").hexdigest()
    assert Digest.parse(str(digest)) == digest
    assert digest != UNKNOWN


@pytest.mark.parametrize(
    "text",
    ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "0x" + "0" * 62, " " + "0" * 63],
    ids=ascii,
)
def test_other_spellings_of_a_digest_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="SHA-256"):
        Digest.parse(text)


@SETTINGS
@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_format_error(text: str) -> None:
    for check in (check_app, check_channel, check_version):
        with suppress(FormatError):
            assert check(text) == text
