"""Limits: what one address may send, and where that is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from patchserver.flask_app import create_app
from patchserver.ops.server_settings import Bounds, settings_from_environment
from tests.support.servers.served import Server, checkin, report
from updater.errors import InstallError


def test_an_address_that_floods_is_told_to_wait_and_others_go_on(server: Server) -> None:
    flooded = Server(
        server.publisher, replace(server.settings, bounds=Bounds("3/minute")), server.clock
    )
    client = flooded.client
    for what, body in (("checkins", checkin), ("reports", report)):
        answers = [client.post(f"/api/v1/{what}", data=body(n)) for n in range(4)]
        assert [a.status_code for a in answers] == [204, 204, 204, 429]
        assert answers[-1].json == {"error": "too many requests"}
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
        answer = client.post(f"/api/v1/{what}", data=body(9), environ_overrides=elsewhere)
        assert answer.status_code == 204
    flooded.services.database.close()


def test_a_network_of_version_6_is_one_address(server: Server) -> None:
    bounds = replace(server.settings, bounds=Bounds("3/minute"))
    flooded = Server(server.publisher, bounds, server.clock)
    hosts = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::1")
    asked = [{"environ_overrides": {"REMOTE_ADDR": host}} for host in hosts]
    path = "/api/v1/checkins"
    statuses = [flooded.client.post(path, data=checkin(1), **one).status_code for one in asked]
    assert statuses == [204, 204, 204, 429, 204]
    flooded.services.database.close()


def test_rate_and_storage_come_from_the_environment(tmp_path: Path) -> None:
    told = {"UPSWAP_REPO": str(tmp_path), "UPSWAP_RATE": "5/second", "UPSWAP_LIMITS": "memory://"}
    assert settings_from_environment(told).bounds == Bounds("5/second", "memory://")
    del told["UPSWAP_RATE"]
    assert settings_from_environment(told).bounds == Bounds("600/minute", "memory://")


def test_a_rate_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="UPSWAP_RATE is no rate: lots"):
        settings_from_environment({"UPSWAP_REPO": str(tmp_path), "UPSWAP_RATE": "lots"})


def test_a_storage_that_does_not_exist_is_refused(server: Server) -> None:
    settings = replace(server.settings, bounds=Bounds(storage="nowhere://"))
    with pytest.raises(InstallError, match="cannot count in nowhere://"):
        create_app(settings)
