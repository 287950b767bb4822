"""What the application answers, over Flask's test client."""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.http import http_date
from werkzeug.test import TestResponse

from patchserver import ServerSettings, create_app
from patchserver.files.public_files import Section
from tests.support.servers.asking import BUNDLE, DIGEST, MTIME, TIMESTAMP, write

BODY = bytes(range(256)) * 4
SIZE = len(BODY)
ROOT = "/metadata/1.root.json"
IMMUTABLE = "public, max-age=31536000, immutable"

posix = pytest.mark.skipif(os.name == "nt", reason="links need rights there, FIFOs do not exist")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write(folder / TIMESTAMP[1:], b'{"version":1}')
    write(folder / ROOT[1:], b'{"root":1}')
    write(folder / BUNDLE[1:], BODY)
    return folder


@pytest.fixture
def client(repository: Path) -> FlaskClient:
    return create_app(ServerSettings(repository)).test_client()


@pytest.fixture(autouse=True)
def no_leaked_descriptor() -> Iterator[None]:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        yield
        return
    before = len(list(descriptors.iterdir()))
    yield
    assert len(list(descriptors.iterdir())) <= before


def get(client: FlaskClient, url: str, **headers: str) -> TestResponse:
    """GET with headers such as ``if_range="..."``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.get(url, headers=named)
    response.get_data()
    response.close()
    return response


# --- whole files ---


def test_a_target_is_sent_whole_with_its_digest_as_strong_tag(client: FlaskClient) -> None:
    response = get(client, BUNDLE)
    assert response.status_code == 200
    assert response.data == BODY
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Length"] == str(SIZE)
    assert response.headers["ETag"] == f'"{DIGEST}"'
    assert response.headers["Last-Modified"] == http_date(MTIME)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Cache-Control"] == IMMUTABLE


def test_numbered_metadata_may_be_kept_and_the_timestamp_may_not(client: FlaskClient) -> None:
    root, timestamp = get(client, ROOT), get(client, TIMESTAMP)
    assert root.headers["Content-Type"] == timestamp.headers["Content-Type"] == "application/json"
    assert root.headers["Cache-Control"] == IMMUTABLE
    assert timestamp.headers["Cache-Control"] == "no-cache"
    assert timestamp.data == b'{"version":1}'


def test_a_replaced_file_of_same_size_and_time_has_another_tag(
    client: FlaskClient, repository: Path
) -> None:
    before = get(client, TIMESTAMP)
    write(repository / TIMESTAMP[1:], b'{"version":2}')
    after = get(client, TIMESTAMP)
    assert after.headers["Last-Modified"] == before.headers["Last-Modified"]
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.data == b'{"version":2}'


def test_a_file_rewritten_in_place_has_another_tag(client: FlaskClient, repository: Path) -> None:
    before = get(client, TIMESTAMP)
    (repository / TIMESTAMP[1:]).write_bytes(b'{"version":2}')
    os.utime(repository / TIMESTAMP[1:], ns=(0, MTIME * 10**9 + 1))
    after = get(client, TIMESTAMP)
    assert after.headers["Last-Modified"] == before.headers["Last-Modified"]
    assert after.headers["ETag"] != before.headers["ETag"]


def test_an_empty_file_is_sent_whatever_range_is_asked(
    client: FlaskClient, repository: Path
) -> None:
    write(repository / BUNDLE[1:], b"")
    response = get(client, BUNDLE, range="bytes=0-")
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == "0"


def test_nothing_is_ever_content_encoded(client: FlaskClient) -> None:
    for url in (BUNDLE, ROOT, TIMESTAMP):
        assert "Content-Encoding" not in get(client, url, accept_encoding="gzip, br").headers


def test_head_has_the_headers_of_get_and_no_body(client: FlaskClient) -> None:
    whole = get(client, BUNDLE)
    for headers in ({}, {"Range": "bytes=5-9"}):  # RFC 9110 14.2: ranges are for GET alone
        response = client.head(BUNDLE, headers=headers)
        assert (response.status_code, response.data) == (200, b"")
        for name in ("Content-Length", "ETag", "Last-Modified", "Accept-Ranges", "Cache-Control"):
            assert response.headers[name] == whole.headers[name]
        response.close()


# --- ranges ---


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-199", 100, 199),
        ("Bytes = 100-199", 100, 199),
        ("bytes=1000-", 1000, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("bytes=1000-99999999999999999999999", 1000, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-100", SIZE - 100, SIZE - 1),
        (f"bytes=-{SIZE}", 0, SIZE - 1),
        ("bytes=-99999999999999999999999", 0, SIZE - 1),
    ],
)
def test_a_range_gets_exactly_its_bytes(
    client: FlaskClient, header: str, first: int, last: int
) -> None:
    response = get(client, BUNDLE, range=header)
    assert response.status_code == 206
    assert response.data == BODY[first : last + 1]
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert response.headers["Content-Length"] == str(last + 1 - first)
    assert response.headers["ETag"] == f'"{DIGEST}"'
    assert response.headers["Cache-Control"] == IMMUTABLE


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 9}", "bytes=99999-"])
def test_a_range_behind_the_end_is_416_and_tells_the_size(client: FlaskClient, header: str) -> None:
    response = get(client, BUNDLE, range=header)
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.headers["Cache-Control"] == "no-store"
    assert len(response.data) < 100


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=0-,0-,0-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 10_000, 2)),
        "bytes=-0",
        "bytes=9-5",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0x1-0x9",
        "bytes=1-2-3",
        "bytes=--5",
        "bytes=" + "9" * 10_000 + "-",
        "lines=0-5",
        "0-5",
    ],
)
def test_ranges_we_do_not_serve_get_the_whole_file(client: FlaskClient, header: str) -> None:
    response = get(client, BUNDLE, range=header)
    assert (response.status_code, response.data) == (200, BODY)
    assert "Content-Range" not in response.headers


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (f'"{DIGEST}"', 206),
        (http_date(MTIME), 206),
        ('"another"', 200),
        (f'W/"{DIGEST}"', 200),
        (DIGEST, 200),
        ("*", 200),
        (http_date(MTIME - 1), 200),
        (http_date(MTIME + 1), 200),
        ("yesterday", 200),
    ],
)
def test_a_part_is_sent_only_of_the_very_same_file(
    client: FlaskClient, if_range: str, status: int
) -> None:
    response = get(client, BUNDLE, range="bytes=5-9", if_range=if_range)
    assert response.status_code == status
    assert response.data == (BODY[5:10] if status == 206 else BODY)


def test_if_range_also_comes_before_a_refusal(client: FlaskClient) -> None:
    response = get(client, BUNDLE, range=f"bytes={SIZE}-", if_range='"another"')
    assert (response.status_code, response.data) == (200, BODY)


def test_a_date_does_not_vouch_for_a_file_that_changes_in_place(client: FlaskClient) -> None:
    date = get(client, TIMESTAMP).headers["Last-Modified"]
    assert get(client, TIMESTAMP, range="bytes=0-3", if_range=date).status_code == 200
    assert get(client, TIMESTAMP, if_modified_since=date).status_code == 200


# --- conditions ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": f'"{DIGEST}"'}, 304),
        ({"if_none_match": f'W/"{DIGEST}"'}, 304),
        ({"if_none_match": f'"another", "{DIGEST}"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"another"'}, 200),
        ({"if_none_match": '"another"', "if_modified_since": http_date(MTIME)}, 200),
        ({"if_modified_since": http_date(MTIME)}, 304),
        ({"if_modified_since": http_date(MTIME + 1)}, 304),
        ({"if_modified_since": http_date(MTIME - 1)}, 200),
        ({"if_modified_since": "nonsense"}, 200),
        ({"if_none_match": f'"{DIGEST}"', "range": "bytes=0-5"}, 304),
        ({"if_none_match": '"another"', "range": "bytes=0-5"}, 206),
        ({"if_match": f'"{DIGEST}"', "range": "bytes=0-5"}, 206),
        ({"if_match": '"another"', "range": "bytes=0-5"}, 412),
        ({"if_match": '"another"'}, 412),
    ],
)
def test_conditions_are_decided_before_ranges(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    response = get(client, BUNDLE, **headers)
    assert response.status_code == status
    if status == 304:
        assert response.data == b""
        assert response.headers["ETag"] == f'"{DIGEST}"'
        assert response.headers["Cache-Control"] == IMMUTABLE


def test_the_timestamp_is_revalidated_by_its_tag(client: FlaskClient, repository: Path) -> None:
    tag = get(client, TIMESTAMP).headers["ETag"]
    assert get(client, TIMESTAMP, if_none_match=tag).status_code == 304
    write(repository / TIMESTAMP[1:], b'{"version":2}')
    assert get(client, TIMESTAMP, if_none_match=tag).status_code == 200


# --- refusals ---


@pytest.mark.parametrize(
    "url", ["/", "/metadata", "/metadata/", "/metadata/2.root.json", "/targets/x", "/static/x"]
)
def test_a_missing_name_is_404_and_not_to_be_cached(client: FlaskClient, url: str) -> None:
    response = get(client, url)
    assert response.status_code == 404
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json == {"error": "not found"}
    assert "ETag" not in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("url", [BUNDLE, TIMESTAMP, "/healthz"])
def test_only_reading_methods_are_allowed(client: FlaskClient, method: str, url: str) -> None:
    response = client.open(url, method=method)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "url", [BUNDLE, TIMESTAMP, "/healthz", "/metadata/2.root.json", "/no-such-place"]
)
def test_every_answer_carries_the_security_headers(client: FlaskClient, url: str) -> None:
    headers = get(client, url).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'"


def test_private_files_of_the_folder_are_not_served(client: FlaskClient, repository: Path) -> None:
    for name in ("keys/online.pem", "server.db", ".git/config", "metadata/.1.root.json.tmp"):
        write(repository / name, b"private")
        assert get(client, f"/{name}").status_code == 404


def link(at: Path, to: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(to, target_is_directory=to.is_dir())


@posix
def test_links_that_leave_the_repository_are_404(
    client: FlaskClient, repository: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    write(outside / "secret", b"private")
    write(outside / "releases" / "1.0" / f"{DIGEST}.bundle", b"private")
    write(tmp_path / "repository-2" / "metadata" / "5.root.json", b"private")
    link(repository / "metadata/2.root.json", outside / "secret")
    link(repository / "metadata/5.root.json", tmp_path / "repository-2/metadata/5.root.json")
    link(repository / "targets/linked", outside)
    for url in (
        "/metadata/2.root.json",
        "/metadata/5.root.json",
        f"/targets/linked/releases/1.0/{DIGEST}.bundle",
    ):
        assert (repository / url[1:]).is_file()
        assert get(client, url).status_code == 404


@posix
def test_links_inside_the_repository_lead_to_public_names_only(
    client: FlaskClient, repository: Path
) -> None:
    write(repository / "keys/root.json", b"private")
    link(repository / "metadata/2.root.json", repository / "keys/root.json")
    link(repository / "metadata/3.root.json", repository / "metadata/1.root.json")
    assert get(client, "/metadata/2.root.json").status_code == 404
    assert get(client, "/metadata/3.root.json").data == b'{"root":1}'


@posix
def test_a_linked_repository_folder_is_followed_anew_each_time(
    repository: Path, tmp_path: Path
) -> None:
    write(tmp_path / "other" / TIMESTAMP[1:], b"other")
    link(tmp_path / "current", repository)
    client = create_app(ServerSettings(tmp_path / "current")).test_client()
    assert get(client, TIMESTAMP).data == b'{"version":1}'
    (tmp_path / "current").unlink()
    link(tmp_path / "current", tmp_path / "other")
    assert get(client, TIMESTAMP).data == b"other"


@posix
def test_links_in_a_circle_and_to_nothing_are_404(client: FlaskClient, repository: Path) -> None:
    link(repository / "metadata/2.root.json", repository / "metadata/3.root.json")
    link(repository / "metadata/3.root.json", repository / "metadata/2.root.json")
    link(repository / "metadata/4.root.json", repository / "metadata/9.root.json")
    link(repository / "metadata/5.root.json", repository / "metadata/1.root.json/x")
    for number in (2, 3, 4, 5):
        assert get(client, f"/metadata/{number}.root.json").status_code == 404


@posix
@pytest.mark.timeout(20)
def test_what_is_not_a_regular_file_is_404_and_does_not_hang(
    client: FlaskClient, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(repository / "metadata/2.root.json")
    (repository / "metadata/3.root.json").mkdir()
    monkeypatch.chdir(repository / "metadata")  # a socket's name may be no longer than 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("4.root.json")
        for number in (2, 3, 4):
            assert get(client, f"/metadata/{number}.root.json").status_code == 404


@posix
@pytest.mark.timeout(20)
def test_a_fifo_swapped_in_after_the_check_does_not_hang_either(
    client: FlaskClient, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regular = (repository / ROOT[1:]).stat()
    (repository / ROOT[1:]).unlink()
    os.mkfifo(repository / ROOT[1:])
    monkeypatch.setattr("patchserver.files.public_files._resolve", lambda root, name: root / name)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    assert get(client, ROOT).status_code == 404


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_the_servers_own_trouble_is_503_and_never_says_that_there_is_no_file(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    response = get(client, ROOT)
    assert response.status_code == 503
    assert response.headers["Cache-Control"] == "no-store"


def test_a_bug_is_answered_without_its_trace(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("private detail")

    monkeypatch.setattr("patchserver.files.responses.requested_range", fail)
    response = get(client, ROOT)
    assert response.status_code == 500
    assert response.json == {"error": "internal server error"}
    assert response.headers["Cache-Control"] == "no-store"
    assert not client.application.debug


# --- health ---


def test_health_follows_the_repository(client: FlaskClient, repository: Path) -> None:
    response = get(client, "/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    (repository / TIMESTAMP[1:]).rename(repository / "aside")
    response = get(client, "/healthz")
    assert (response.status_code, response.json) == (503, {"status": "unavailable"})
    assert response.headers["Cache-Control"] == "no-store"
    (repository / "aside").rename(repository / TIMESTAMP[1:])
    assert get(client, "/healthz").status_code == 200


# --- sections ---


def test_a_section_reads_like_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    section = Section(io.FileIO(tmp_path / "file"), 2, 5)
    assert section.read() == b"23456"
    assert section.read(1) == b""
    assert section.seek(0, os.SEEK_END) == section.tell() == 5
    assert section.seek(-2, os.SEEK_CUR) == 3
    assert section.read(9) == b"56"
    assert section.seek(1) == 1
    assert section.read(2) == b"34"
    section.seek(9)
    assert section.read(1) == b""
    section.close()


def test_a_section_ends_where_its_file_was_cut(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123")
    with Section(io.FileIO(tmp_path / "file"), 2, 5) as section:
        assert section.read() == b"23"
