"""HTTP, through requests: the one module that opens a connection.

Redirects, compressed bodies and slow servers are refused here, so that nobody else has to
think of them. Proxies and certificate settings of the environment are honoured, ``.netrc``
is not: an update server is never sent a password by accident.
"""

from __future__ import annotations

import http.client
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3

from updater.config import UpdaterConfig
from updater.errors import TransportError, causes
from updater.net.address import Address, without_secrets
from updater.net.minimum_rate import PacedResponse, TooSlow
from updater.retry import RETRY_STATUS, RetryPolicy
from updater.transport import Reply, ResponseBody
from updater.version import __version__

CHUNK = 64 * 1024
URL_MOST = 300
"""Characters of a URL of somebody else that are repeated to people."""
REPLY_MOST = 4 << 20
"""Bytes of a reply to what was sent: a list of some ten thousand files."""
_PROXIES = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say which proxy is used"
_HINTS = {
    401: "the host wants a user name and a password: https://USER:PASSWORD@HOST/... at install",
    407: f"the proxy wants a user name and a password: http://USER:PASSWORD@HOST:PORT; {_PROXIES}",
}
"""Hints for some HTTP statuses."""
_OFFLINE = "check the network connection and try again"


class HttpTransport:
    """A `Transport` and a `Sender` over HTTP and HTTPS."""

    def __init__(self, config: UpdaterConfig | None = None) -> None:
        self.received = 0
        self._addresses: list[Address] = []
        self.server_time: int | None = None
        self._config = config or UpdaterConfig()
        self._session = requests.Session()
        self._session.auth = lambda request: request  # keeps requests from reading .netrc
        self._session.headers.update(
            {"Accept-Encoding": "identity", "User-Agent": f"upswap/{__version__}"}
        )
        adapter = _Adapter(self._config)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @contextmanager
    def get(self, url: str, start: int = 0, stop: int | None = None) -> Iterator[ResponseBody]:
        """See `Transport.get`."""
        is_part = start > 0 or stop is not None
        last = "" if stop is None else stop - 1
        headers = {"Range": f"bytes={start}-{last}"} if is_part else {}
        with self._asked("GET", url, headers) as response:
            begin = _check(url, response, start if is_part else None)
            yield ResponseBody(begin, self._chunks(response))

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
            for chunk in self._chunks(response):
                data += chunk
                if len(data) > REPLY_MOST:
                    raise TransportError(f"{url}: more than {REPLY_MOST:,} bytes of an answer")
            return Reply(response.status_code, response.headers, data)

    def admit(self, address: Address) -> None:
        """Send what is secret of ``address`` with each request that it covers, and nowhere else."""
        if address.is_secret and address not in self._addresses:
            self._addresses.insert(0, address)
            _keep_from_logs()

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    @contextmanager
    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: io.BytesIO | None = None
    ) -> Iterator[requests.Response]:
        """The answer to one request, its body still to be read."""
        timeouts = (self._config.connect_timeout, self._config.read_timeout)
        address = next((a for a in self._addresses if a.covers(url)), Address(url))
        try:
            with self._session.request(
                method,
                f"{url}?{address.query}" if address.query else url,
                auth=address.login,
                headers=headers,
                data=body,
                timeout=timeouts,
                stream=True,
                allow_redirects=False,
            ) as response:
                self.server_time = _server_time(response)
                yield response
        except TooSlow:
            least = f"{self._config.min_bytes_per_second} bytes a second"
            raise TransportError(f"{url}: under {least}", hint=_OFFLINE) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _error(url, error) from None

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            self.received += len(chunk)
            yield chunk


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections whose answers have to come at a minimum rate."""

    def __init__(self, config: UpdaterConfig) -> None:
        self._answer = partial(PacedResponse, config)
        super().__init__(max_retries=_retries(config))

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """See `requests.adapters.HTTPAdapter`."""
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        kind = type(pool).ConnectionCls  # plain, for TLS or for SOCKS
        paced = {"response_class": staticmethod(self._answer)}
        pool.ConnectionCls = type(kind.__name__, (kind,), paced)
        return pool


def _server_time(response: requests.Response) -> int | None:
    """The time at which an answer was sent, in seconds since 1970; None if it does not say.

    A cache keeps the ``Date`` of what it holds, and says beside it how old that is.
    """
    try:
        said = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        return int(said) + int(response.headers.get("Age", "0"))
    except (ValueError, TypeError, OverflowError):
        return None


def _retries(policy: RetryPolicy) -> urllib3.Retry:
    """Tries until an answer begins; a body that breaks off is its reader's to resume."""
    return urllib3.Retry(
        total=policy.attempts - 1,
        redirect=False,
        status_forcelist=RETRY_STATUS,
        backoff_factor=policy.backoff,
        backoff_max=policy.backoff_limit,
        retry_after_max=int(policy.backoff_limit),
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
        hint="the server has trouble; try later"
        if status in RETRY_STATUS
        else _HINTS.get(status, "is the URL right?"),
    )


def _refuse_strange(url: str, response: requests.Response) -> None:
    """Refuse what no server of ours answers, whatever was asked."""
    status = response.status_code
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise TransportError(
            f"{url}: compressed answer refused",
            status=status,
            hint="let the host, and any proxy before it, send files as they are",
        )
    if response.is_redirect or 300 <= status < 400:
        place = urljoin(url, response.headers.get("Location", ""))
        raise TransportError(
            f"{url}: redirect refused; it leads to {without_secrets(place)[:URL_MOST]!a}",
            status=status,
            retryable=False,
            hint="if the repository is there now, use that URL; or is a login page in the way?",
        )


def _range_start(url: str, response: requests.Response, start: int | None) -> int:
    field = response.headers.get("Content-Range", "")
    if start is not None and field.startswith(f"bytes {start}-"):
        return start
    raise TransportError(
        f"{url}: another range than asked for",
        status=206,
        hint="the host, or a proxy before it, gets ranges wrong: tell the publisher",
    )


def _error(url: str, error: Exception) -> TransportError:
    """The error of a request to ``url``; it names a proxy on the way, and nothing secret."""
    said = without_secrets(_reason(error))
    proxy = _proxy_for(url)
    if isinstance(error, requests.exceptions.InvalidSchema) and proxy.startswith("socks"):
        return TransportError(
            f"{url}: the proxy {proxy} speaks SOCKS, and what that needs is not installed",
            hint=f"install PySocks beside upswap; {_PROXIES}",
            retryable=False,
        )
    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.InvalidProxyURL):
        if "407" in said:
            return TransportError(
                f"{url}: the proxy {proxy} lets nobody through: {said}",
                hint=_HINTS[407],
                status=407,
            )
        return TransportError(f"{url}: no way through the proxy {proxy}: {said}", hint=_PROXIES)
    through = f" (through the proxy {proxy})" if proxy else ""
    return TransportError(f"{url}: {said}{through}", hint=_OFFLINE)


def _proxy_for(url: str) -> str:
    """The proxy that the environment names for ``url``, without its password; or nothing."""
    try:
        named = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    except ValueError:  # the URL is none, such as one with a bracket that is not closed
        return ""
    return without_secrets(named or "")


def _keep_from_logs() -> None:
    """Keep what is secret out of what urllib3 logs: it names the URL of every request."""
    for name in ("connectionpool", "connection", "poolmanager", "response", "util.retry"):
        logging.getLogger(f"urllib3.{name}").addFilter(_tame)


def _tame(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


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
