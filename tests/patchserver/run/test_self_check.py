"""``patchserver check``: each thing that can be wrong is found, and told with what to do."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from patchserver import ServerSettings, create_app
from patchserver.database.engine import Database
from patchserver.ops.server_settings import settings_for
from patchserver.publishing.signer import OnlineSigner, keys_in
from patchserver.run.cli import main
from patchserver.run.self_check import check
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.trees.trees import Tree
from updater.errors import MachineError
from updater.exit_codes import Concern, Severity

TREE: Tree = {"a": b"a"}


@pytest.fixture
def settings(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ServerSettings:
    """A server that nothing is wrong with."""
    for name, value in PASSWORD.items():
        monkeypatch.setenv(name, value)
    publisher.release("1.0", TREE)
    data, keys = tmp_path / "data", tmp_path / "online"
    data.mkdir(mode=0o700)
    keys.mkdir(mode=0o700)
    shutil.copy2(publisher.keys.folder / "online.pem", keys)
    return settings_for(publisher.folder, data, keys)


def found(settings: ServerSettings, now: int) -> list[Concern]:
    findings = check(settings, lambda: now)
    assert all(finding.hint for finding in findings)
    return findings


def test_nothing_is_wrong(settings: ServerSettings, publisher: Publisher) -> None:
    assert found(settings, publisher.now) == []


def test_a_repository_that_went_back_to_a_backup(
    settings: ServerSettings, publisher: Publisher, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(publisher.folder, backup)
    publisher.promote("1.0")
    signer_of(settings, publisher.now).remember()
    assert found(settings, publisher.now) == []
    shutil.rmtree(publisher.folder)
    shutil.copytree(backup, publisher.folder)
    (finding,) = found(settings, publisher.now)
    assert "older state" in finding.what
    assert finding.severity is Severity.NOW
    assert "backup" in finding.hint


def signer_of(settings: ServerSettings, now: int) -> OnlineSigner:
    assert settings.data is not None
    memory = settings.data / "canary"
    return OnlineSigner(
        settings.repository, keys_in(settings.keys, os.environ), memory, lambda: now
    )


def test_no_folder_of_keys_is_named(settings: ServerSettings, publisher: Publisher) -> None:
    (finding,) = found(replace(settings, keys=None), publisher.now)
    assert "online key" in finding.what
    assert "--keys" in finding.hint


def test_files_alone_need_nothing_else(publisher: Publisher) -> None:
    assert found(ServerSettings(publisher.folder), publisher.now) == []


def test_no_repository(tmp_path: Path) -> None:
    (finding,) = found(ServerSettings(tmp_path), 0)
    assert "is not a repository" in finding.what


def test_an_expired_timestamp_may_be_a_wrong_clock(
    settings: ServerSettings, publisher: Publisher
) -> None:
    (finding,) = found(settings, publisher.now + 8 * 86400)
    assert finding.what.startswith("timestamp expired")
    assert "clock" in finding.what
    (finding,) = found(settings, publisher.now + 6 * 86400)
    assert finding.what.startswith("timestamp expires within two days")


def test_files_alone_that_clients_refuse_are_not_well(publisher: Publisher) -> None:
    (finding,) = found(ServerSettings(publisher.folder), publisher.now + 8 * 86400)
    assert finding.severity is Severity.NOW


def test_a_clock_that_does_not_fit_what_was_signed(
    settings: ServerSettings, publisher: Publisher
) -> None:
    (finding,) = found(settings, publisher.now - 400 * 86400)
    assert "400 days before the last signature" in finding.what
    assert finding.severity is Severity.SOON
    assert any("days after" in f.what for f in found(settings, publisher.now + 400 * 86400))


def test_what_cannot_be_looked_at_is_a_finding(
    settings: ServerSettings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("patchserver.run.self_check.OnlineSigner.doubt", fail)
    (finding,) = found(settings, publisher.now)
    assert finding.severity is Severity.UNSEEN


def test_a_key_that_is_missing(settings: ServerSettings, publisher: Publisher) -> None:
    assert settings.keys is not None
    (settings.keys / "online.pem").unlink()
    (finding,) = found(settings, publisher.now)
    assert "no online key" in finding.what


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such mode")
def test_a_key_that_others_can_read(settings: ServerSettings, publisher: Publisher) -> None:
    assert settings.keys is not None
    (settings.keys / "online.pem").chmod(0o644)
    (finding,) = found(settings, publisher.now)
    assert "can be read by others" in finding.what


def test_the_key_of_another_repository(
    settings: ServerSettings, publisher: Publisher, tmp_path: Path
) -> None:
    assert settings.keys is not None
    other = Publisher(tmp_path / "other")
    shutil.copy2(other.keys.folder / "online.pem", settings.keys)
    (finding,) = found(settings, publisher.now)
    assert "not the one that the repository's root names" in finding.what


def test_a_key_that_can_install_software(settings: ServerSettings, publisher: Publisher) -> None:
    assert settings.keys is not None
    shutil.copy2(publisher.keys.folder / "release.pem", settings.keys)
    (finding,) = found(settings, publisher.now)
    assert "release key" in finding.what


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such mode")
def test_a_data_folder_that_is_everybodys(settings: ServerSettings, publisher: Publisher) -> None:
    assert settings.data is not None
    settings.data.chmod(0o755)
    (finding,) = found(settings, publisher.now)
    assert "open to every user" in finding.what


def test_folders_and_databases_that_are_not_there(
    settings: ServerSettings, publisher: Publisher, tmp_path: Path
) -> None:
    missing = settings_for(settings.repository, tmp_path / "nowhere", settings.keys)
    data, database = found(missing, publisher.now)
    assert data.what.startswith(f"writing into {tmp_path / 'nowhere'}")
    assert "patchserver.db" in database.what


def test_the_command_tells_all_of_it(
    settings: ServerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(settings.data), "--keys", str(settings.keys)]
    assert main(["check", "--repo", str(settings.repository)]) == 0
    assert capsys.readouterr().out == "all is well\n"
    # The publisher lives in another time than we do.
    assert main(["check", "--repo", str(settings.repository / "no"), *arguments]) == 7
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")


def test_a_server_that_has_lost_its_database_is_not_ready(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(settings).test_client()
    assert client.get("/readyz").status_code == 200

    def lost(_: Database) -> None:
        raise MachineError("no route to host") from OperationalError("SELECT 1", {}, OSError())

    monkeypatch.setattr(Database, "probe", lost)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_what_only_a_key_elsewhere_can_sign_is_told_with_the_way_to_it(
    settings: ServerSettings, publisher: Publisher
) -> None:
    signer_of(settings, publisher.now).remember()
    hints = {f.what.split()[0]: f.hint for f in found(settings, publisher.now + 370 * 86_400)}
    assert "push a release" in hints["app.notes"]
    assert "patchserver refresh" in hints["timestamp"]
