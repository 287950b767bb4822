"""What a publisher gives is carried exactly as it is, or refused with a reason; never rewritten."""

from __future__ import annotations

import codecs
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchtool.diff.diff import build_patch
from patchtool.diff.options import Options
from patchtool.folder.apply_to_folder import apply_to_folder
from patchtool.folder.scan import scan
from patchtool.release.recall import recall
from patchtool.release.release_toml import read_description

from tests.support.repository.publisher import Publisher
from tests.support.trees.strategies import SETTINGS
from tests.support.trees.trees import Link, Tree, write_tree
from updater.errors import FormatError, InstallError
from updater.format.manifest import Manifest
from updater.format.release_description import Release
from updater.patch.apply import tree_at

OPTIONS = Options(effort="fast", jobs=1)

Raw = Mapping[bytes, tuple[str, bytes]]
"""Path -> kind (file, program, link, folder) and content, as the disk has them."""


def lay_out(folder: Path, tree: Raw) -> None:
    folder.mkdir()
    for path, (kind, data) in tree.items():
        place = os.path.join(os.fsencode(folder), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if kind == "link":
            os.symlink(data, place)
        elif kind == "folder":
            os.makedirs(place, exist_ok=True)
        else:
            Path(os.fsdecode(place)).write_bytes(data)
            os.chmod(place, 0o755 if kind == "program" else 0o644)


def read(folder: Path) -> Raw:
    """What is on disk, byte for byte."""
    top = os.fsencode(folder)
    found: dict[bytes, tuple[str, bytes]] = {}
    for here, folders, files in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for name in [*files, *links]:
            place = os.path.join(here, name)
            found[os.path.relpath(place, top)] = _content(place)
        if here != top and not folders and not files:
            found[os.path.relpath(here, top)] = ("folder", b"")
    return found


def _content(place: bytes) -> tuple[str, bytes]:
    if os.path.islink(place):
        return "link", os.readlink(place)
    is_program = bool(os.stat(place).st_mode & 0o100)
    return "program" if is_program else "file", Path(os.fsdecode(place)).read_bytes()


def installed(folder: Path, work: Path, *, portable: bool = True) -> Raw:
    """What an install of the release in ``folder`` has, over a bundle."""
    manifest = Manifest.of("app", "1", scan(folder), Release(portable=portable))
    build_patch(None, tree_at(folder, manifest), work / "bundle", OPTIONS)
    (work / "nothing").mkdir()
    assert apply_to_folder(work / "bundle", work / "nothing", work / "out") == manifest
    return read(work / "out")


NAMES = st.one_of(
    st.sampled_from(
        [
            *(b"a", b"B", b"lib", b"app.py", "größe".encode(), "e\u0301".encode(), b"\xe9", b"con"),
            *(b"a.", b"a ", b"new\nline", b"back\\slash", b"what?", b"...", b"~", b"-x", b"a~1"),
            *("\u2028".encode(), "\ufeff".encode(), "\u202e".encode(), b"a" * 255, b" "),
        ]
    ),
    st.binary(min_size=1, max_size=6).filter(
        lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
    ),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            *(
                b"a",
                b"./a",
                b"a//b",
                b"a/",
                b"a/./b",
                b"../a",
                b"../../a",
                b"a/../b",
                b"/etc",
                b".",
            ),
            *(b"..", b"a\\b", b"C:\\x", b"C:/x", b"\xe9", "e\u0301".encode(), b"a" * 300, b"a "),
        ]
    ),
    st.binary(min_size=1, max_size=8).filter(lambda text: b"\0" not in text),
)
CONTENT = st.one_of(
    st.tuples(st.sampled_from(["file", "program"]), st.binary(max_size=40)),
    st.tuples(st.just("link"), TEXTS),
    st.just(("folder", b"")),
)
PATHS = st.lists(NAMES, min_size=1, max_size=2).map(b"/".join)


def possible(tree: Raw) -> Raw:
    """Without what lies below something that is no folder."""
    return {p: c for p, c in tree.items() if p.rpartition(b"/")[0] not in tree}


@given(tree=st.dictionaries(PATHS, CONTENT, max_size=4).map(possible), portable=st.booleans())
@SETTINGS
def test_an_install_is_what_lay_in_the_folder_or_it_is_refused(
    tree: Raw, *, portable: bool
) -> None:
    with TemporaryDirectory() as work:
        folder = Path(work) / "release"
        lay_out(folder, tree)
        before = read(folder)
        try:
            after = installed(folder, Path(work), portable=portable)
        except FormatError:
            return
        assert after == before


@pytest.mark.parametrize(
    "text",
    [
        *("./a", "a//b", "a/", "a/.", "a/./b", "lib/../a", ".", "/a", "//a", "..", "../a"),
        *("a\\b", "\\a", "C:\\a", "caf\udce9", "e\u0301", "a\nb", "x" * 1500, "a" * 300),
    ],
)
def test_a_symlink_that_is_spelled_otherwise_is_refused_and_not_tidied_up(
    text: str, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", {"lib/a": b"1", "link": Link(text)})
    with pytest.raises(FormatError, match=r"symlink target .* refused"):
        installed(folder, tmp_path)


@pytest.mark.parametrize("text", ["a", "lib/a", "lib", "nowhere", "größe", "-rf", "a b"])
def test_a_symlink_in_the_one_spelling_is_carried(text: str, tmp_path: Path) -> None:
    tree: Tree = {"lib/a": b"1", "link": Link(text)}
    folder = write_tree(tmp_path / "r", tree)
    assert installed(folder, tmp_path)[b"link"] == ("link", text.encode())


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are of Linux")
def test_capabilities_are_not_lost_without_a_word(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "r", {"f": b"1"})
    words = [shutil.which("setcap") or "false", "cap_net_raw+ep", str(folder / "f")]
    if subprocess.run(words, check=False).returncode:
        pytest.skip("no right to give a file capabilities here")
    with pytest.raises(FormatError, match="'f' has capabilities"):
        scan(folder)


# Text files


TOML = "notes = 'größer'\nrequired = true\n"


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + TOML.encode(),
        TOML.encode("utf-16"),
        codecs.BOM_UTF16_BE + TOML.encode("utf-16-be"),
        TOML.encode("utf-16-le"),
        TOML.encode("utf-32"),
        TOML.encode("latin-1"),
        TOML.encode("cp1252"),
        TOML.replace("\n", "\r").encode(),
        TOML.encode() + b"\0",
        TOML.encode() + b"\x1a",
    ],
    ids=[
        *("UTF-8 with a mark", "UTF-16", "UTF-16 BE", "UTF-16 without a mark", "UTF-32"),
        *("latin-1", "cp1252", "old Mac", "NUL", "Ctrl-Z"),
    ],
)
def test_a_description_in_another_encoding_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "release.toml").write_bytes(data)
    with pytest.raises(FormatError, match="is not TOML") as caught:
        read_description(tmp_path / "release.toml")
    assert str(tmp_path / "release.toml") in str(caught.value)


def test_a_description_with_the_line_ends_of_windows_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(TOML.encode())
    (tmp_path / "b.toml").write_bytes(TOML.replace("\n", "\r\n").encode())
    assert read_description(tmp_path / "a.toml") == read_description(tmp_path / "b.toml")


# Versions


@pytest.mark.parametrize(
    "version",
    [
        *(
            "v1.0",
            "V1.0",
            "1.0 ",
            " 1.0",
            "1.0\n",
            "01.0",
            "1.00",
            "1.0-rc1",
            "1.0.0-beta",
            "1.0RC1",
        ),
        *(
            "\uff11.0",
            "\u0661.0",
            "1" * 25,
            "1.0+a",
            "1!1.0",
            "1_0",
            "1.0.*",
            "",
            "latest",
            "1.0\0",
        ),
    ],
)
def test_a_version_in_another_spelling_is_refused_wherever_it_is_named(
    version: str, publisher: Publisher
) -> None:
    publisher.release("1.0", {"f": b"1"})
    with pytest.raises(FormatError, match="version"):
        publisher.add(version, {"f": b"2"})
    with pytest.raises(FormatError, match="version"):
        publisher.promote(version)
    with pytest.raises(FormatError, match="version"):
        recall(publisher.repository(), "notes", version, now=publisher.now)
    with pytest.raises(FormatError, match="version"):
        recall(publisher.repository(), "notes", "1.0", now=publisher.now, floor=version)
    with pytest.raises(InstallError, match="has no bundle"):
        publisher.add("2.0", {"f": b"2"}, bases=[version])


@pytest.mark.parametrize("other", ["1.0.0", "1", "1.0.0.0"])
def test_one_version_in_two_spellings_is_one_version(other: str, publisher: Publisher) -> None:
    publisher.release("1.0", {"f": b"1"})
    with pytest.raises(FormatError, match="is the same version"):
        publisher.add(other, {"f": b"1"})
    with pytest.raises(InstallError, match="is not published"):
        publisher.promote(other)
