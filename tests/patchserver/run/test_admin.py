"""Commands on the server's own machine: a slip of the pen is told, and makes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchserver.run.cli import main
from tests.support.repository.publisher import Publisher

MAKE = ("token", "make", "ci", "--user", "anna", "--scope", "publish")


@pytest.fixture
def repo(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository whose server has one account."""
    monkeypatch.setenv("UPSWAP_PASSWORD", "a long enough password")
    assert main(["user", "add", "anna", "--role", "admin", "--repo", str(publisher.folder)]) == 0
    return str(publisher.folder)


def test_an_account_beside_no_repository_is_not_made(
    repo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["user", "add", "bob", "--repo", f"{tmp_path}/slip"]) == 7
    assert "patchtool init" in capsys.readouterr().err
    assert not (tmp_path / "slip.server").exists()


@pytest.mark.parametrize("days", ["-5", "3651", "99999999999999999999"])
def test_a_token_for_no_number_of_days_is_refused(
    repo: str, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MAKE, "--days", days, "--repo", repo]) == 7
    assert "0 is for ever" in capsys.readouterr().err


def test_a_token_for_an_app_that_is_not_hosted_is_refused(
    repo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MAKE, "--app", "nosuch", "--repo", repo]) == 7
    assert "notes" in capsys.readouterr().err
    assert main([*MAKE, "--app", "notes", "--repo", repo]) == 0
    assert capsys.readouterr().out.startswith("ups_")
