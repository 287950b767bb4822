"""Target names: put together, taken apart, and the file of their content."""

from __future__ import annotations

import pytest

from updater.format.target_names import TargetName, file_name, head_name, patch_name, release_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (release_name("notes", "1.0", "manifest"), TargetName("notes", "manifest", "1.0")),
        (release_name("notes", "1.0", "bundle"), TargetName("notes", "bundle", "1.0")),
        (patch_name("notes", "1.0", "2.0"), TargetName("notes", "patch", "2.0", "1.0")),
        (head_name("notes", "stable"), TargetName("notes", "head", "stable")),
    ],
)
def test_a_name_that_was_put_together_is_taken_apart_again(name: str, parts: TargetName) -> None:
    assert TargetName.parse(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "notes",
        "notes/patches/1.0",
        "notes/patches/1_2_3",
        "notes/releases/1.0/notes",
        "a/b/c/d/e",
    ],
)
def test_another_name_is_no_target_of_ours(name: str) -> None:
    assert TargetName.parse(name) is None


def test_the_content_of_a_target_lies_under_its_digest() -> None:
    assert file_name("notes/channels/stable", "ab") == "targets/notes/channels/ab.stable"
