"""Rules for the paths of a release, checked at build and at parse; each refusal has its reason.

A path is relative, in POSIX spelling and Unicode NFC. The Windows and letter-case rules hold
for every release unless its description says ``portable = false``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from updater.errors import FormatError
from updater.format.encoding.limits import DEFAULT, Limits

_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$)"
)
_SHORT = re.compile(r"(?=[^.]{1,8}(?:\.|$))[^.]+~[0-9]+(?:\.[^.]{1,3})?$")
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STATE = re.compile(r"(?:\..*)?\.upswap$")


def check_path(path: str, *, portable: bool = True, limits: Limits = DEFAULT) -> str:
    """``path`` itself if a release may hold it.

    Raises:
        FormatError: it may not; the message gives the reason.
    """
    _check_bytes(path, limits)
    for name in path.split("/"):
        reason = _reason(name, limits, portable)
        if reason:
            raise FormatError(f"path {shown(path)} refused: {reason}")
    return path


def check_target(path: str, target: str, *, portable: bool = True, limits: Limits = DEFAULT) -> str:
    """``target`` itself if the symlink at ``path`` may point there.

    It is relative, its ``..`` parts come first and stay inside the release: then no chain of
    links can leave it either, because every link obeys the same rule. The parts behind them
    are names as in paths; ``C:/x`` would be absolute on Windows.

    Raises:
        FormatError: it may not; the message gives the reason.
    """
    _check_bytes(target, limits, what="symlink target")
    parts = target.split("/")
    ups = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    for name in parts[ups:]:
        reason = _reason(name, limits, portable)
        if reason:
            raise FormatError(f"symlink target {shown(target)} refused: {reason}")
    if ups > path.count("/"):
        raise FormatError(f"symlink target {shown(target)} refused: it leaves the release")
    return target


def folded(path: str) -> str:
    """``path`` as a file system compares it that ignores letter case and normalisation."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def parents(path: str) -> list[str]:
    """The folders ``path`` stands in, outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def shown(text: str) -> str:
    """``text`` quoted for a message, nothing in it able to disturb a terminal."""
    return ascii(text if len(text) <= 200 else text[:197] + "...")


def _check_bytes(text: str, limits: Limits, what: str = "path") -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise FormatError(f"{what} {shown(text)} refused: it is not valid Unicode") from None
    if not 0 < length <= limits.path_bytes:
        raise FormatError(f"{what} {shown(text)} refused: 1 to {limits.path_bytes} bytes allowed")
    if _CONTROL.search(text):
        raise FormatError(f"{what} {shown(text)} refused: it has a control character")


@lru_cache(4096)
def _reason(name: str, limits: Limits, portable: bool) -> str:
    """The reason to refuse ``name``, or nothing; cached, because most paths share their folders."""
    return _refusal(name, limits) or (_windows_refusal(name) if portable else "")


def _refusal(name: str, limits: Limits) -> str:
    if name in {"", ".", ".."}:
        return "absolute, empty, '.' or '..' part"
    if "\\" in name:
        return "backslash"
    if len(name.encode()) > limits.name_bytes:
        return f"a part is longer than {limits.name_bytes} bytes"
    if unicodedata.normalize("NFC", name) != name:
        return "not in Unicode NFC"
    if _STATE.match(folded(name)):
        return "the name belongs to the updater's state folder"
    return ""


def _windows_refusal(name: str) -> str:
    if _FORBIDDEN.search(name):
        return "a character Windows does not allow"
    if name[-1] in ". ":
        return "trailing dot or blank (lost on Windows)"
    if _DEVICE.match(name.lower()):
        return "the name of a Windows device"
    if _SHORT.match(name):
        return "it may be the short name Windows gives to another file"
    return ""
