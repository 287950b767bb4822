"""Attacks and faults of the way from the server, end to end; section E of the list of faults.

Each answer is given for metadata, for patches and bundles, and the oracle is `Victim`. What a
single answer may do to a transport is in ``test_fetch``, what it may do to a download in
``test_download``.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.attacks.hostile import flip, message, reset
from tests.support.attacks.victim import NEW, Victim, patch_of
from tests.support.paths import ROOT
from tests.support.repository.sessions import QUICK, quick_session
from tests.support.servers.serving import running, send
from tests.support.trees.trees import Tree, noise
from updater.errors import TransportError, TrustError
from updater.net.http import HttpTransport

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

PAGE = b"<!DOCTYPE html><html><body>Welcome to the hotel</body></html>"


def raw(answer: Callable[[bytes], bytes]) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    """Sends bytes made of the honest content, and hangs up."""

    def say(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.wfile.write(answer(content))
        handler.close_connection = True

    return say


def endless(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.wfile.write(message(200, length=None))
    try:
        while True:
            handler.wfile.write(b"{" + bytes(65536))
    except OSError:
        handler.close_connection = True


def resets(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.wfile.write(message(200, half(content), length=len(content)))
    handler.wfile.flush()
    reset(handler.connection)
    handler.close_connection = True


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


NOT_TAKEN: dict[str, Callable[[BaseHTTPRequestHandler, bytes], None]] = {
    "shorter than announced": raw(lambda c: message(200, half(c), length=len(c))),
    "cut, no length": raw(lambda c: message(200, half(c), length=None)),
    "chunked and cut": raw(
        lambda c: (
            message(200, length=None, Transfer_Encoding="chunked") + b"%x\r\n" % len(c) + half(c)
        )
    ),
    "length is no number": raw(lambda c: message(200, c[:5], length="many")),
    "endless": endless,
    "gzip": raw(lambda c: message(200, c, Content_Encoding="gzip")),
    "br": raw(lambda c: message(200, c, Content_Encoding="br")),
    "redirect to http": raw(lambda _: message(302, Location="http://127.0.0.1:1/evil")),
    "redirect to a file": raw(lambda _: message(301, Location="file:///etc/passwd")),
    "redirect to itself": raw(lambda _: message(308, Location="")),
    "partial": raw(lambda c: message(206, c, Content_Range=f"bytes 0-{len(c) - 1}/{len(c)}")),
    "multipart": raw(lambda c: message(206, c, Content_Type="multipart/byteranges; boundary=x")),
    "no range": raw(lambda _: message(416)),
    "login page": raw(lambda _: message(200, PAGE)),
    "login page, no status": raw(lambda _: PAGE),
    "login needed": raw(lambda _: message(401, PAGE, WWW_Authenticate="Basic realm=hotel")),
    "proxy login needed": raw(lambda _: message(407, PAGE)),
    "ten thousand headers": raw(
        lambda c: b"HTTP/1.1 200 X\r\n%b\r\n%b" % (b"X: y\r\n" * 10_000, c)
    ),
    "reset in the middle": resets,
    "megabyte of header": raw(lambda _: message(200, X="y" * 1_000_000)),
    "nothing": raw(lambda _: b""),
}


@pytest.mark.parametrize("answer", NOT_TAKEN)
@pytest.mark.parametrize("part", ["metadata", "targets"])
def test_an_answer_that_is_not_the_file(part: str, answer: str, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if part not in path.parts or not path.is_file():
            return False
        NOT_TAKEN[answer](handler, path.read_bytes())
        return True

    victim.misbehave = misbehave
    lies = part == "targets" and answer == "endless"
    victim.refuses(*((TrustError, 4) if lies else (TransportError, 3)))
    victim.recovers()


@pytest.mark.parametrize("part", ["metadata", "targets"])
def test_a_login_page_of_the_right_length(part: str, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if part not in path.parts or not path.is_file():
            return False
        length = path.stat().st_size
        send(handler, 200, PAGE.ljust(length)[:length])
        return True

    victim.misbehave = misbehave
    victim.refuses(TransportError, 3, "page" if part == "targets" else "not metadata")
    victim.recovers()


def chunked(content: bytes) -> bytes:
    parts = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    return message(200, body, length=None, Transfer_Encoding="chunked")


STRANGE: dict[str, Callable[[bytes], bytes]] = {
    "no length, no ranges": lambda c: message(200, c, length=None),
    "chunked": chunked,
    "more behind the announced length": lambda c: message(200, c + PAGE, length=len(c)),
}


@pytest.mark.parametrize("answer", STRANGE)
def test_a_strange_server_that_gives_what_was_asked_for_is_no_attack(
    answer: str, victim: Victim
) -> None:
    victim.publisher.release("2.0", NEW)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path.is_file():
            raw(STRANGE[answer])(handler, path.read_bytes())
        return path.is_file()

    victim.misbehave = misbehave
    assert victim.takes() == {}


def test_targets_longer_than_they_were_signed_are_cut_there(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if "targets" not in path.parts or not path.is_file():
            return False
        send(handler, 200, path.read_bytes() + PAGE)
        return True

    victim.misbehave = misbehave
    assert victim.takes() == {}


def drips(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """A byte every hundredth of a second, and no end in sight."""
    handler.wfile.write(message(200, length=len(content)))
    with suppress(OSError):
        for byte in content:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.01)
    handler.close_connection = True


def falls_silent(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.wfile.write(message(200, content[:5], length=len(content)))
    handler.connection.settimeout(5)
    with suppress(OSError):
        handler.rfile.read(1)  # until the client goes
    handler.close_connection = True


@pytest.mark.parametrize("slowly", [drips, falls_silent])
@pytest.mark.parametrize("part", ["metadata", "targets"])
def test_a_server_that_keeps_its_clients_waiting(
    slowly: Callable[[BaseHTTPRequestHandler, bytes], None], part: str, victim: Victim
) -> None:
    victim.publisher.release("2.0", NEW)
    config = replace(QUICK, read_timeout=0.3, min_bytes_per_second=1000, rate_window=0.3)
    patient, publisher = victim.session, victim.publisher
    victim.session = quick_session(lambda: publisher.now, config=config)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if part not in path.parts or not path.is_file():
            return False
        slowly(handler, path.read_bytes())
        return True

    victim.misbehave = misbehave
    victim.refuses(TransportError, 3)
    victim.session = patient
    victim.recovers()


# Downloads that are resumed


BIG: Tree = {**NEW, "more": noise(40_000, 5)}


@dataclass
class Line:
    """A line that goes down in the middle of the patch, and comes back when it is told to."""

    patch: Path
    later: Callable[[bytes, int], bytes] | None = None
    """What is answered once it is back, of the patch's content from a byte on."""
    asked: list[int] = field(default_factory=list)

    def __call__(self, handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path != self.patch:
            return False
        start = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        self.asked.append(int(start))
        content = path.read_bytes()
        if self.later is not None:
            answer = self.later(content, int(start)) if int(start) else message(200, content)
            handler.wfile.write(answer)
        elif len(self.asked) == 1:
            handler.wfile.write(message(200, half(content), length=len(content)))
        handler.close_connection = True
        return True


def broken_off(victim: Victim) -> Line:
    """An update whose patch came half-way."""
    victim.publisher.release("2.0", BIG)
    victim.misbehave = line = Line(patch_of(victim.publisher))
    for _ in range(2):
        victim.refuses(TransportError, 3)
    return line


def rest(content: bytes, start: int, *, shown: int | None = None) -> bytes:
    """A file from ``start``, perhaps labelled as another part of it."""
    first = start if shown is None else shown
    part = f"bytes {first}-{len(content) - 1}/{len(content)}"
    return message(206, content[start:], Content_Range=part)


@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "..\\..\\evil", "evil", "mine"], ids=repr
)
def test_the_name_that_a_server_gives_a_file_is_nobodys_affair(name: str, victim: Victim) -> None:
    """As pip once took it (CVE-2019-20916)."""
    victim.publisher.release("2.0", NEW)
    before = {path.name for path in victim.folder.parent.iterdir()}

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if not path.is_file():
            return False
        disposition = f'attachment; filename="{name}"'
        send(handler, 200, path.read_bytes(), Content_Disposition=disposition)
        return True

    victim.misbehave = misbehave
    victim.takes()
    assert {path.name for path in victim.folder.parent.iterdir()} == before
    assert not list(victim.folder.parent.parent.rglob("evil"))


def test_nothing_that_comes_from_the_network_is_an_archive() -> None:
    """No unpacker, no names in archives that could lead out; the launcher's zip is only written."""
    readers = re.compile(r"tarfile|unpack_archive|ZipFile\((?!buffer, \"w\")|extractall")
    sources = [*(ROOT / "updater").rglob("*.py"), *(ROOT / "patchserver").rglob("*.py")]
    assert [path for path in sources if readers.search(path.read_text("utf-8"))] == []


def test_a_network_that_goes_in_the_middle_and_comes_back(victim: Victim) -> None:
    """What came is kept: the second update asks for the rest only."""
    line = broken_off(victim)
    line.later = rest
    assert victim.takes(BIG) == {}
    assert line.asked[-1] == len(half(line.patch.read_bytes())) > 0


RESUMED: dict[str, Callable[[bytes, int], bytes]] = {
    "no ranges": lambda c, _: message(200, c),
    "another start": lambda c, start: rest(c, start, shown=start + 1),
    "from the first byte": lambda c, start: rest(c, start, shown=0),
    "no label": lambda c, start: message(206, c[start:]),
    "multipart": lambda c, start: message(
        206, c[start:], Content_Type="multipart/byteranges; boundary=x"
    ),
    "no such range": lambda _, __: message(416),
}


@pytest.mark.parametrize("answer", RESUMED)
def test_a_server_whose_ranges_are_wrong_costs_the_whole_patch_at_most(
    answer: str, victim: Victim
) -> None:
    broken_off(victim).later = RESUMED[answer]
    assert victim.takes(BIG) == {}


def test_a_patch_that_changes_between_two_parts_gives_way_to_the_bundle(victim: Victim) -> None:
    broken_off(victim).later = lambda c, start: rest(bytes(len(c)), start)
    assert victim.takes(BIG) == {}


@pytest.mark.parametrize("at", [0, 100, -1], ids=["magic", "header", "last byte"])
def test_a_part_that_the_disk_has_changed_is_mended(at: int, victim: Victim) -> None:
    broken_off(victim).later = rest
    (part,) = (
        path
        for path in (victim.folder.parent / ".app.upswap/downloads").iterdir()
        if path.stat().st_size == len(half(patch_of(victim.publisher).read_bytes()))
    )
    part.write_bytes(flip(part.read_bytes(), at))
    assert victim.takes(BIG) == {}


# TLS


NOW = dt.datetime.now(dt.timezone.utc)
YEAR = dt.timedelta(days=365)


class Authority:
    """One that a client trusts, or not."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self._key, "authority", NOW + YEAR, None)

    def certify(self, folder: Path, ends: dt.datetime, *, host: str) -> Path:
        """A server's key and certificate, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            name = x509.IPAddress(ipaddress.ip_address(host))
        certificate = self._signed(key, "server", ends, name)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / "server.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _signed(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: str,
        ends: dt.datetime,
        host: x509.GeneralName | None,
    ) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * YEAR)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(key_id, critical=False)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@contextmanager
def over_tls(certificate: Path, newest: ssl.TLSVersion | None = None) -> Iterator[str]:
    """A server that answers everything with one file; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            send(self, 200, b"content")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what is tested."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server) as url:
        yield f"{url.replace('http:', 'https:')}/file"


def get(url: str) -> bytes:
    transport = HttpTransport(QUICK)
    try:
        with transport.get(url) as answer:
            return b"".join(answer.chunks)
    finally:
        transport.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The only one this machine trusts."""
    authority = Authority()
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    return authority


def test_a_certificate_in_order_is_taken(authority: Authority, tmp_path: Path) -> None:
    """Else the refusals below would prove nothing."""
    with over_tls(authority.certify(tmp_path, NOW + YEAR, host="127.0.0.1")) as url:
        assert get(url) == b"content"


def refuses_to_talk(victim: Victim, url: str, *words: str) -> None:
    """An update is on the server, and none on this way to it."""
    victim.publisher.release("2.0", NEW)
    honest = victim.asks(url)
    victim.refuses(TransportError, 3, *words)
    victim.asks(honest)
    victim.recovers()


def test_an_expired_certificate_is_refused(
    authority: Authority, victim: Victim, tmp_path: Path
) -> None:
    with over_tls(authority.certify(tmp_path, NOW - YEAR, host="127.0.0.1")) as url:
        refuses_to_talk(victim, url, "expired")


def test_the_certificate_of_another_host_is_refused(
    authority: Authority, victim: Victim, tmp_path: Path
) -> None:
    with over_tls(authority.certify(tmp_path, NOW + YEAR, host="example.org")) as url:
        refuses_to_talk(victim, url, "match")


def test_a_certificate_nobody_trusts_is_refused(
    authority: Authority, victim: Victim, tmp_path: Path
) -> None:
    with over_tls(Authority().certify(tmp_path, NOW + YEAR, host="127.0.0.1")) as url:
        refuses_to_talk(victim, url, "certificate")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_tls_is_refused(
    version: ssl.TLSVersion, authority: Authority, victim: Victim, tmp_path: Path
) -> None:
    certificate = authority.certify(tmp_path, NOW + YEAR, host="127.0.0.1")
    with over_tls(certificate, version) as url:
        refuses_to_talk(victim, url)


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "http://[::1]:1", "http://127.0.0.1:1"])
def test_a_server_that_cannot_be_reached(url: str, victim: Victim) -> None:
    refuses_to_talk(victim, url)


def test_nobody_switches_the_check_of_certificates_off() -> None:
    folders = (ROOT / name for name in ("updater", "tools", "patchserver"))
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    off = re.compile(r"verify\s*=\s*False|CERT_NONE|_create_unverified_context|disable_warnings")
    assert [path.name for path in sources if off.search(path.read_text("utf-8"))] == []
