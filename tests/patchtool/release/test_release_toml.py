"""``release.toml``: what it may say, and what is refused with the key that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from patchtool.release.release_toml import Description, read_description

from tests.support.repository.publisher import Publisher, publish
from tests.support.trees.trees import Exe, write_tree
from updater.errors import FormatError, InstallError
from updater.format.release_description import Confirm, Release


def read(folder: Path, text: str | bytes) -> Description:
    path = folder / "release.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_description(path)


def test_without_a_file_there_is_nothing_to_start_and_nothing_left_out() -> None:
    assert read_description(None) == Description(Release(), ())


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("", Release()),
        ("# a comment\n", Release()),
        ('entry = "bin/app"', Release(entry=("bin/app",))),
        ('entry = ["bin/app", "--ready", ""]', Release(entry=("bin/app", "--ready", ""))),
        ("entry = []", Release()),
        ("stop = true", Release(stop=True)),
        ("stop = false", Release()),
        ("required = true", Release(required=True)),
        ('min_updater = "0.1"', Release(min_updater="0.1")),
        ('min_updater = ""', Release()),
        ("portable = false", Release(portable=False)),
        ('disposable = ["*.log"]', Release(disposable=("*.log",))),
        ("disposable = []", Release(disposable=())),
        ('disposable = ["**/__pycache__/**"]', Release()),
        ('notes = "Größer \U0001f600"', Release(notes="Größer \U0001f600")),
        ('notes = """\nfirst\nsecond"""', Release(notes="first\nsecond")),
        ('confirm = "none"', Release()),
        ('confirm = {mode = "none", seconds = 60, starts = 1}', Release()),
        ("policy = {}", Release()),
        ('policy = {"*" = "replace"}', Release(policy=(("*", "replace"),))),
        ("policy = {'*.cfg' = 'keep'}", Release(policy=(("*.cfg", "keep"),))),
        (
            "policy = {'a' = 'replace', '**/x/**' = 'keep-if-changed'}",
            Release(policy=(("a", "replace"), ("**/x/**", "keep-if-changed"))),
        ),
        ('launcher = ""', Release()),
    ],
)
def test_every_key_is_understood(text: str, release: Release, tmp_path: Path) -> None:
    assert read(tmp_path, text) == Description(release)


def test_rules_of_a_policy_keep_their_order(tmp_path: Path) -> None:
    described = read(tmp_path, '[policy]\n"z*" = "replace"\n"a*" = "replace"\n')
    assert [glob for glob, _ in described.release.policy] == ["z*", "a*"]


def test_exclude_is_of_the_build_and_not_in_the_release(tmp_path: Path) -> None:
    described = read(tmp_path, 'exclude = ["*.tmp", "!keep.tmp"]\nstop = true')
    assert described == Description(Release(stop=True), ("*.tmp", "!keep.tmp"))
    assert read(tmp_path, "exclude = []") == Description(Release())


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("color = 1", "unknown key 'color'"),
        ("Entry = 'app'", "unknown key 'Entry'"),
        ("[tool]\nname = 1", "unknown key 'tool'"),
        ("entry = 1", "entry: "),
        ("entry = {path = 'app'}", "entry: "),
        ("entry = [1]", r"entry\[0\]: "),
        ("entry = ''", "path '' refused"),
        ("entry = '/usr/bin/env'", "path '/usr/bin/env' refused"),
        ("entry = '../app'", "path '../app' refused"),
        ("entry = ['app', \"nul\\u0000\"]", r"entry\[1\]: a NUL"),
        ("stop = 1", "stop: "),
        ("stop = 'yes'", "stop: "),
        ("required = 0", "required: "),
        ("portable = 'no'", "portable: "),
        ("notes = ['a']", "notes: "),
        ("notes = 2026-01-01", "notes: "),
        ("min_updater = 1.5", "min_updater: "),
        ("min_updater = '1.x'", "version '1.x' refused"),
        ("disposable = '*.log'", "disposable: "),
        ("disposable = [1]", r"disposable\[0\]: "),
        ("exclude = '*.log'", "exclude: "),
        ("exclude = [1]", "exclude: "),
        ("exclude = {a = 1}", "exclude: "),
        ("policy = 'keep'", "policy: "),
        ("policy = {'*' = 'forget'}", r"policy\[0\].policy: 'forget'"),
        ("policy = {'*' = 1}", r"policy\[0\]: "),
        ("confirm = 1", "confirm: "),
        ("confirm = 'maybe'", "confirm.mode: 'maybe'"),
        ("confirm = {mode = 'none', seconds = inf, starts = 1}", "confirm.seconds: "),
        ("confirm = {mode = 'app', seconds = 0, starts = 1}", "confirm.seconds: "),
        ("min_updater = '99'", "min_updater: no updater 99 exists"),
        ("launcher = 3", "launcher: "),
        ("launcher = 'a:b'", "path 'a:b' refused"),
        (f"notes = '{'x' * 70_000}'", "65536 allowed"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_key(
    text: str, context: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=context) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "release.toml"))


def test_a_version_that_cannot_be_started_cannot_be_put_on_trial(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="confirm: nothing can be confirmed") as caught:
        read(tmp_path, "confirm = 'app'")
    assert "entry" in caught.value.hint
    read(tmp_path, "confirm = 'app'\nentry = 'app'")


@pytest.mark.parametrize(
    "data",
    [b"entry", b"a = 1\na = 2", b"\xff", b"stop = True", b"a = '", b"a = " + b"[" * 20_000],
    ids=["no value", "twice", "no UTF-8", "True", "no end", "deep"],
)
def test_what_is_not_toml_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not TOML"):
        read(tmp_path, data)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_this_machines_fault(name: str, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="reading"):
        read_description(tmp_path / name)


@pytest.mark.parametrize("entry", ["missing", "plain", "folder"])
def test_an_entry_that_cannot_be_started_is_refused(
    entry: str, tmp_path: Path, publisher: Publisher
) -> None:
    folder = write_tree(tmp_path / "r", {"plain": b"1", "folder/f": Exe(b"2")})
    with pytest.raises(FormatError, match=f"entry '{entry}' is not an executable file"):
        publish(publisher.repository(), "1.0", folder, read(tmp_path, f"entry = '{entry}'"))


def test_a_release_whose_trial_nobody_may_watch_is_known_as_such() -> None:
    """Where users may have no Python, a launcher comes with the release or not at all."""
    trial = Confirm(mode="app")
    assert "name a launcher" in Description(Release(entry=("app",), confirm=trial)).unwatched
    assert not Description(Release(entry=("app",), confirm=trial, launcher="go")).unwatched
    assert not Description(Release(entry=("app",))).unwatched
