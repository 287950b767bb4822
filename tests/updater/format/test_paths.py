"""Which paths a release may hold; each refusal gives its reason."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, paths
from updater.errors import FormatError
from updater.format.encoding.limits import Limits
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.paths import check_path, check_target, folded, parents
from updater.format.release_description import Release

ANYWHERE = {
    "absolute, empty, '.' or '..' part": [
        *("/abs", "//x", "//server/share", "a//b", "a/", "/", ".", "..", "./a", "a/.", "a/./b"),
        *("../x", "a/..", "a/../b", "a/../../x", "a/b/../../../x"),
    ],
    "1 to 1024 bytes": ["", "/".join(["x" * 204] * 5) + "y"],
    "backslash": ["..\\x", "C:\\x", "\\\\server\\share", "a\\b", "a/b\\c", "\\"],
    "control character": ["a\0b", "\0", "a\n", "a\rb", "\t", "\x1b[2J", "a\x1f", "a\x7f"],
    "longer than 255 bytes": ["x" * 256, "a/" + "x" * 256, "é" * 128],
    "not in Unicode NFC": ["e\u0301", "a/e\u0301/b", "\u212b", "\u1100\u1161"],
    "not valid Unicode": ["\ud800", "a/\udfff"],
    "state folder": [".upswap", ".notes.upswap", "a/.upswap/journal", ".UPSWAP", "..upswap"],
}
WINDOWS = {
    "Windows device": [
        *("con", "CON", "nul", "nul.txt", "NUL.tar.gz", "aux", "prn.x", "nul .txt", "a/con/b"),
        *("com1", "COM1.log", "com0", "lpt9", "com\u00b9", "COM\u00b2.txt", "lpt\u00b3"),
        *("CONIN$", "conout$", "CONIN$.log"),
    ],
    "character Windows does not allow": [
        *("a:stream", "C:x", "C:/x", "C:", "a<b", "a>b", 'a"b', "a|b", "a?", "*", "dir/a*b"),
        "file.txt::$DATA",
    ],
    "trailing dot or blank": ["a.", "a ", "a. ", "a/b./c", "a /b", "...", " ", "a.txt."],
    "short name": ["PROGRA~1", "progra~2.exe", "A~1", "ABCDEF~1/x", "AB12~1.TXT", "x/MICRO~12"],
}
FINE = [
    *("a", "a b/c d", ".hidden", "..a", "a..b", "...a", " a", "%2e%2e", "%252e", "~", "a~b"),
    *("console", "con1", "com10", "xnul", "a.con", "auxiliary.txt", "comé", "upswap"),
    *("x.upswap", ".upswapx", ".upswap.txt", "é", "日本", "\U0001f600", "\u00df", "x" * 255),
    *("longername~1", "a~1b", "a~", "backup~1.orig"),
    "/".join("a" * 512),
]


def table(rows: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(path, reason) for reason, refused in rows.items() for path in refused]


@pytest.mark.parametrize(("path", "reason"), table(ANYWHERE), ids=ascii)
@pytest.mark.parametrize("portable", [True, False])
def test_refused_everywhere(path: str, reason: str, portable: bool) -> None:
    with pytest.raises(FormatError, match=f"refused: .*{reason}"):
        check_path(path, portable=portable)


@pytest.mark.parametrize(("path", "reason"), table(WINDOWS), ids=ascii)
def test_refused_unless_declared_not_portable(path: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        check_path(path)
    assert check_path(path, portable=False) == path


@pytest.mark.parametrize("path", FINE, ids=ascii)
def test_accepted(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["\x1b[31mred/..", "a\u202eb/../c"])
def test_a_refusal_cannot_disturb_the_terminal(path: str) -> None:
    with pytest.raises(FormatError) as caught:
        check_path(path)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_a_long_path_makes_no_long_message() -> None:
    with pytest.raises(FormatError) as caught:
        check_path("x" * 1_000_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("path", "limits"),
    [("abcd", Limits(path_bytes=3)), ("a/bcd", Limits(name_bytes=2)), ("éé", Limits(path_bytes=3))],
)
def test_limits_are_those_given(path: str, limits: Limits) -> None:
    assert check_path(path) == path
    with pytest.raises(FormatError):
        check_path(path, limits=limits)


@SETTINGS
@given(st.text(max_size=20) | st.lists(st.sampled_from(["..", ".", "", "a", "b"])).map("/".join))
def test_an_accepted_path_stays_inside_any_folder(path: str) -> None:
    for portable in (True, False):
        try:
            check_path(path, portable=portable)
        except FormatError:
            continue
        joined = PurePosixPath("/root/app") / path
        assert joined.parts[:3] == ("/", "root", "app")
        assert ".." not in joined.parts
        assert str(joined) == f"/root/app/{path}"


class TestSymlinkTargets:
    """A link never leads out of the release, on no platform, through no other link."""

    @pytest.mark.parametrize(
        ("path", "target"),
        [
            *(
                ("l", "a"),
                ("l", "a/b"),
                ("d/l", "../a"),
                ("d/l", ".."),
                ("d/e/l", "../.."),
                ("l", "l"),
            ),
            *(("d/l", "a"), ("d/e/l", "../../a/b"), ("l", "..a"), ("l", "%2e%2e")),
        ],
    )
    def test_accepted(self, path: str, target: str) -> None:
        assert check_target(path, target) == target

    @pytest.mark.parametrize(
        ("path", "target", "reason"),
        [
            ("l", "..", "leaves the release"),
            ("l", "../a", "leaves the release"),
            ("d/l", "../..", "leaves the release"),
            ("d/l", "../../a", "leaves the release"),
            ("l", "/etc/passwd", "absolute"),
            ("l", "//server/share", "absolute"),
            ("d/l", "..//a", "absolute, empty"),
            ("l", "a/../b", "'..' part"),
            ("d/l", "../a/../../x", "'..' part"),
            ("d/l", "../a/..", "'..' part"),
            ("l", ".", "'.' or '..' part"),
            ("l", "./a", "'.' or '..' part"),
            ("l", "a/", "empty"),
            ("l", "", "1 to 1024 bytes"),
            ("l", "a" * 1025, "1 to 1024 bytes"),
            ("l", "..\\a", "backslash"),
            ("d/l", "..\\..\\a", "backslash"),
            ("l", "a\0", "control character"),
            ("l", "\udc80", "not valid Unicode"),
            ("l", "e\u0301", "NFC"),
            ("l", ".app.upswap/journal", "state folder"),
        ],
    )
    def test_refused(self, path: str, target: str, reason: str) -> None:
        for portable in (True, False):
            with pytest.raises(FormatError, match=f"symlink target .* refused: .*{reason}"):
                check_target(path, target, portable=portable)

    @pytest.mark.parametrize("target", ["C:/Windows", "C:x", "nul", "a:stream", "a.", "PROGRA~1"])
    def test_refused_unless_declared_not_portable(self, target: str) -> None:
        assert check_target("l", target, portable=False) == target
        with pytest.raises(FormatError):
            check_target("l", target)
        with pytest.raises(FormatError):
            Manifest.of("app", "1", [Symlink("l", target)])
        Manifest.of("app", "1", [Symlink("l", target)], Release(portable=False))

    @SETTINGS
    @given(paths, st.lists(st.sampled_from(["..", ".", "", "a", "b"])).map("/".join))
    def test_an_accepted_target_resolves_inside(self, path: str, target: str) -> None:
        try:
            check_target(path, target)
        except FormatError:
            return
        at = list(PurePosixPath(path).parts[:-1])
        for part in target.split("/"):
            if part == "..":
                at.pop()  # raises where the target leaves the release
            else:
                at.append(part)


def file(path: str) -> File:
    return File(path, 0, Digest.of(b""))


class TestCollisions:
    """No two entries are one name, on no file system a portable release may meet."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Foo", "foo"),
            ("a/Foo", "a/foo"),
            ("Dir/a", "dir/b"),
            ("x/Dir/a", "x/dir/b"),
            ("A", "a/b"),
            ("É", "é"),
            ("straße", "strasse"),
            ("STRASSE", "straße"),
            ("ﬁle", "file"),
            ("\u017f", "s"),
            ("Ω", "ω"),
            ("ΌΣ", "ός"),
            ("\u0500", "\u0501"),
        ],
    )
    def test_of_letter_case_only(self, one: str, other: str) -> None:
        for pair in ((one, other), (other, one)):
            with pytest.raises(FormatError, match="one name where letter case is ignored"):
                Manifest.of("app", "1", map(file, pair))
        Manifest.of("app", "1", map(file, (one, other)), Release(portable=False))

    def test_of_normalisation(self) -> None:
        composed, decomposed = "\u00e9", "e\u0301"
        assert folded(composed) == folded(decomposed)
        with pytest.raises(FormatError, match="not in Unicode NFC"):
            Manifest.of("app", "1", map(file, (composed, decomposed)), Release(portable=False))

    @pytest.mark.parametrize("portable", [True, False])
    @pytest.mark.parametrize(
        "entries",
        [
            [file("a"), file("a")],
            [file("a"), Directory("a")],
            [file("a"), Symlink("a", "b")],
            [file("a"), file("a/b")],
            [Symlink("a", "b"), file("a/b")],
            [Directory("a"), file("a/b")],
            [Directory("a"), Directory("a/b/c")],
        ],
        ids=str,
    )
    def test_of_paths(self, entries: list[Entry], portable: bool) -> None:
        for listed in (entries, entries[::-1]):
            with pytest.raises(FormatError, match=r"two entries have one path|a folder of other"):
                Manifest.of("app", "1", listed, Release(portable=portable))

    @pytest.mark.parametrize("pair", [("a", "b"), ("a/b", "a/c"), ("a", "a.b"), ("e", "é")])
    def test_none_where_there_is_none(self, pair: tuple[str, str]) -> None:
        assert len(Manifest.of("app", "1", map(file, pair)).entries) == 2

    @SETTINGS
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
    def test_folding_is_blind_to_case_and_normalisation(self, text: str) -> None:
        for form in ("NFC", "NFD"):
            assert folded(unicodedata.normalize(form, text)) == folded(text)
        assert folded(text.casefold()) == folded(text)
        assert folded(folded(text)) == folded(text)


@SETTINGS
@given(paths)
def test_parents_are_the_folders_outermost_first(path: str) -> None:
    above = parents(path)
    assert len(above) == path.count("/")
    assert all(path.startswith(folder + "/") for folder in above)
    assert above == sorted(above, key=len)
