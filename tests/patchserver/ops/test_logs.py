"""What is logged of a request, and what must not be."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from patchserver import ServerSettings, create_app
from patchserver.ops.logs import JsonLines


def test_request_lines_are_json_and_keep_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("patchserver.requests")
    monkeypatch.setattr(log, "handlers", [handler])
    monkeypatch.setattr(log, "propagate", False)  # other tests have let the process log elsewhere
    monkeypatch.setattr(log, "level", logging.INFO)
    client = create_app(ServerSettings(tmp_path)).test_client()
    headers = {"Authorization": "Bearer hidden-token", "X-Request-Id": "from-a-proxy"}
    client.get("/no/such/place?token=hidden-query", headers=headers).close()
    client.get("/metadata/timestamp.json").close()
    (line,) = told.getvalue().splitlines()
    assert "hidden" not in line
    entry = json.loads(line)
    assert entry["request"] == "from-a-proxy"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/no/such/place", 404)
    assert entry["remote"] == "127.0.0.1"
    assert entry["ms"] >= 0


def test_an_error_is_one_line_with_its_trace() -> None:
    error = ZeroDivisionError("odd\nnumber")
    information = (ZeroDivisionError, error, None)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "no %s", ("luck",), information)
    text = JsonLines().format(record)
    assert "\n" not in text
    entry = json.loads(text)
    assert (entry["level"], entry["message"]) == ("error", "no luck")
    assert "ZeroDivisionError" in entry["trace"]
