"""HTTP, through requests: the one module that opens a connection.

Redirects, compressed bodies and slow servers are refused here, so that nobody else has to
think of them. Proxies and certificate settings of the environment are honoured, ``.netrc``
is not: an update server is never sent a password by accident.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import requests
import urllib3

from updater.config import UpdaterConfig
from updater.errors import TransportError, causes
from updater.transport import Answer, Reply
from updater.version import __version__

CHUNK = 64 * 1024
REPLY_MOST = 4 << 20
"""Bytes of a reply to what was sent: a list of some ten thousand files."""
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
_OFFLINE = "check the network connection and try again"


class HttpTransport:
    """A `Transport` and a `Sender` over HTTP and HTTPS."""

    def __init__(
        self,
        config: UpdaterConfig | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.received = 0
        self.server_time: int | None = None
        self._config = config or UpdaterConfig()
        self._monotonic = monotonic
        self._session = requests.Session()
        self._session.auth = lambda request: request  # keeps requests from reading .netrc
        self._session.headers.update(
            {"Accept-Encoding": "identity", "User-Agent": f"upswap/{__version__}"}
        )
        adapter = requests.adapters.HTTPAdapter(max_retries=_retries(self._config))
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @contextmanager
    def get(self, url: str, start: int = 0, stop: int | None = None) -> Iterator[Answer]:
        """See `Transport.get`."""
        is_part = start > 0 or stop is not None
        last = "" if stop is None else stop - 1
        headers = {"Range": f"bytes={start}-{last}"} if is_part else {}
        with self._asked("GET", url, headers) as response:
            begin = _check(url, response, start if is_part else None)
            yield Answer(begin, self._chunks(url, response))

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """See `Sender.send`."""
        # Read piece by piece: one write of it all would have to end within the connect timeout.
        # Nothing is no stream: that would be sent without its length.
        stream = io.BytesIO(body) if body else None
        with self._asked(method, url, headers or {}, stream) as response:
            _refuse_strange(url, response)
            data = b""
            for chunk in self._chunks(url, response):
                data += chunk
                if len(data) > REPLY_MOST:
                    raise TransportError(f"{url}: more than {REPLY_MOST:,} bytes of an answer")
            return Reply(response.status_code, response.headers, data)

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    @contextmanager
    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: io.BytesIO | None = None
    ) -> Iterator[requests.Response]:
        """The answer to one request, its body still to be read."""
        timeouts = (self._config.connect_timeout, self._config.read_timeout)
        try:
            with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=timeouts,
                stream=True,
                allow_redirects=False,
            ) as response:
                self.server_time = _server_time(response)
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransportError(f"{url}: {_reason(error)}", hint=_OFFLINE) from error

    def _chunks(self, url: str, response: requests.Response) -> Iterator[bytes]:
        pace = _Pace(self._config, self._monotonic)
        got = 0
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            got += len(chunk)
            self.received += len(chunk)
            pace.check(url, got)
            yield chunk


class _Pace:
    """Gives up on a server that keeps a connection alive and sends next to nothing."""

    def __init__(self, config: UpdaterConfig, monotonic: Callable[[], float]) -> None:
        self._config = config
        self._monotonic = monotonic
        self._since = monotonic()
        self._before = 0

    def check(self, url: str, got: int) -> None:
        seconds = self._monotonic() - self._since
        if seconds < self._config.rate_window:
            return
        if got - self._before < self._config.min_bytes_per_second * seconds:
            raise TransportError(
                f"{url}: under {self._config.min_bytes_per_second} bytes a second", hint=_OFFLINE
            )
        self._since, self._before = self._monotonic(), got


def _server_time(response: requests.Response) -> int | None:
    """When an answer was sent, in seconds since 1970; None if it does not say.

    A cache keeps the ``Date`` of what it holds, and says beside it how old that is.
    """
    try:
        said = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        return int(said) + int(response.headers.get("Age", "0"))
    except (ValueError, TypeError, OverflowError):
        return None


def _retries(config: UpdaterConfig) -> urllib3.Retry:
    """Tries until an answer begins; a body that breaks off is its reader's to resume."""
    return urllib3.Retry(
        total=config.attempts - 1,
        redirect=False,
        status_forcelist=RETRY_STATUS,
        backoff_factor=config.backoff,
        backoff_max=config.backoff_limit,
        retry_after_max=int(config.backoff_limit),
        raise_on_status=False,
    )


def _check(url: str, response: requests.Response, start: int | None) -> int:
    """The offset at which the body starts; refuses every answer that is not the file.

    ``start``: of the part that was asked for; None if that was the whole.
    """
    status = response.status_code
    _refuse_strange(url, response)
    if status == requests.codes.ok:
        return 0
    if status == requests.codes.partial_content:
        return _range_start(url, response, start)
    raise TransportError(
        f"{url}: HTTP {status}",
        status=status,
        retryable=status in RETRY_STATUS,
        hint="the server has trouble; try later" if status in RETRY_STATUS else "is the URL right?",
    )


def _refuse_strange(url: str, response: requests.Response) -> None:
    """Refuse what no server of ours answers, whatever was asked."""
    status = response.status_code
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise TransportError(f"{url}: compressed answer refused", status=status)
    if response.is_redirect or 300 <= status < 400:
        raise TransportError(
            f"{url}: redirect refused", status=status, hint="is a login page in the way?"
        )


def _range_start(url: str, response: requests.Response, start: int | None) -> int:
    field = response.headers.get("Content-Range", "")
    if start is not None and field.startswith(f"bytes {start}-"):
        return start
    raise TransportError(f"{url}: another range than asked for", status=206)


def _reason(error: Exception) -> str:
    """The last words of a nested library error, which say what happened."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout | urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    *_, inner = causes(error)
    if isinstance(inner, http.client.IncompleteRead):
        return "cut off"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
