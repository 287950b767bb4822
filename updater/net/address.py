"""The address of a repository: what of its URL may be told, and what may not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from updater.errors import FormatError, RequestError
from updater.format.encoding.canonical import Record, decode, encode, string
from updater.format.encoding.limits import KIB

FORMAT = 1
SECRET_MOST = 64 * KIB
"""Bytes of what is kept of a URL."""
_LOGIN = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Address:
    """A URL in two parts: only the transport joins them again."""

    url: str
    """Without a slash at its end, a user name, a password or a query."""
    login: tuple[str, str] | None = field(default=None, repr=False)
    """User name and password, for Basic authentication."""
    query: str = field(default="", repr=False)
    """Appended to each request, such as the signature of a storage address."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that ``text`` spells.

        Raises:
            InstallError: it cannot be the URL of a repository.
        """
        parts = _parts(text)
        if parts is None:
            raise RequestError(
                f"{without_secrets(text)!a} is not the URL of a repository",
                hint="http:// or https://",
            )
        host = parts.netloc.rpartition("@")[2]
        url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        login = (unquote(parts.username or ""), unquote(parts.password or ""))
        return cls(url, login if "@" in parts.netloc else None, parts.query)

    @property
    def is_secret(self) -> bool:
        """True if it has a login or a query, which must stay secret."""
        return bool(self.login or self.query)

    @property
    def data(self) -> bytes:
        """The bytes of ``access.json``: the secret parts."""
        return encode({"format": FORMAT, "login": list(self.login or ()), "query": self.query})

    def with_secrets(self, data: bytes) -> Address:
        """The address with what ``data`` has kept of it.

        Raises:
            FormatError: it is nothing of ours.
        """
        record = Record(decode(data, SECRET_MOST))
        record.integer("format", FORMAT, low=FORMAT)
        login = record.items("login", string, 2)
        query = record.text("query")
        record.end()
        match login:
            case ():
                return Address(self.url, None, query)
            case (user, password):
                return Address(self.url, (user, password), query)
            case _:
                raise FormatError("a user name and a password, or neither", context="login")

    def covers(self, url: str) -> bool:
        """True if ``url`` is of this repository, so that it may be sent what is secret."""
        return url == self.url or url.startswith(f"{self.url}/")


def _parts(text: str) -> SplitResult | None:
    """The parts of a URL of a repository; None if it is none."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # such as a bracket that is not closed
        return None
    usable = parts.scheme in {"http", "https"} and parts.hostname and not parts.fragment
    return parts if usable and text.isprintable() and " " not in text else None


def without_secrets(text: str) -> str:
    """``text`` without user names and passwords of the URLs in it, and what stands behind ``?``."""
    return re.sub(r"\?\S*", "?...", _LOGIN.sub("//", text))
