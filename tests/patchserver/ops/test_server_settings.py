"""What a server is told, and what it makes of that."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from flask import request

from patchserver import ServerSettings, create_app
from patchserver.ops.server_settings import settings_for, settings_from_environment
from updater.errors import InstallError


def test_a_repository_alone_is_only_served(tmp_path: Path) -> None:
    assert settings_for(tmp_path / "repo") == ServerSettings(tmp_path / "repo")


def test_the_data_folder_beside_the_repository_is_found(tmp_path: Path) -> None:
    (tmp_path / "repo.server").mkdir()
    settings = settings_for(tmp_path / "repo")
    assert settings.data == tmp_path / "repo.server"
    assert settings.database == f"sqlite:///{tmp_path}/repo.server/patchserver.db"


def test_the_environment_says_everything(tmp_path: Path) -> None:
    settings = settings_from_environment(
        {
            "UPSWAP_REPO": str(tmp_path / "repo"),
            "UPSWAP_DATA": str(tmp_path / "data"),
            "UPSWAP_KEYS": str(tmp_path / "keys"),
            "UPSWAP_DATABASE": "postgresql+psycopg:///upswap",
            "UPSWAP_PROXIES": "1",
            "UPSWAP_ACCEL": "/internal/",
        }
    )
    database = "postgresql+psycopg:///upswap"
    folders = (tmp_path / "repo", tmp_path / "data", tmp_path / "keys")
    assert settings == ServerSettings(*folders, database, 1, "/internal")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "UPSWAP_REPO is not set"),
        ({"UPSWAP_REPO": ""}, "UPSWAP_REPO is not set"),
        ({"UPSWAP_REPO": "r", "UPSWAP_PROXIES": "-1"}, "UPSWAP_PROXIES is not a number"),
        ({"UPSWAP_REPO": "r", "UPSWAP_PROXIES": "many"}, "UPSWAP_PROXIES is not a number"),
        ({"UPSWAP_REPO": "r", "UPSWAP_ACCEL": "internal"}, "not a path of nginx"),
        ({"UPSWAP_REPO": "r", "UPSWAP_ACCEL": "/a\r\nX: y"}, "not a path of nginx"),
    ],
)
def test_what_cannot_be_meant_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(InstallError, match=message) as caught:
        settings_from_environment(environment)
    assert caught.value.hint


def test_wsgi_servers_find_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSWAP_REPO", str(tmp_path))
    app = runpy.run_module("patchserver.run.wsgi")["app"]
    assert app.extensions["settings"].repository == tmp_path


@pytest.mark.parametrize(("proxies", "address"), [(0, "127.0.0.1"), (1, "c"), (2, "b")])
def test_only_our_own_proxies_say_who_asks(tmp_path: Path, proxies: int, address: str) -> None:
    app = create_app(ServerSettings(tmp_path, proxies=proxies))
    seen = []

    @app.before_request
    def look() -> None:
        seen.append(request.remote_addr)

    app.test_client().get("/", headers={"X-Forwarded-For": "a, b, c"})
    assert seen == [address]
