"""``patchtool doctor``: what clients will stumble over is found before they do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hostile import newest, rewrite
from patchtool.cli import main
from patchtool.doctor import Diagnosis, diagnose
from patchtool.refresh import refresh
from publisher import Publisher
from test_patchtool_repository import files
from trees import Tree

from updater.errors import InstallError, TrustError

DAY = 86_400
ONE: Tree = {"f": b"1"}


def looked_at(publisher: Publisher) -> Diagnosis:
    return diagnose(publisher.repository(), publisher.now)


def test_a_new_repository_is_well_and_left_as_it_is(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    before = files(publisher.folder)
    found = looked_at(publisher)
    found.require_health()
    ill = (found.expired, found.unsigned, found.missing, found.unreferenced, found.due)
    assert ill == ((), (), (), (), ())
    assert [s.role for s in found.standings] == [
        "root",
        "app.notes",
        "channels.notes",
        "targets",
        "snapshot",
        "timestamp",
    ]
    assert files(publisher.folder) == before


def test_a_key_that_is_needed_soon_is_named(publisher: Publisher) -> None:
    publisher.now += 336 * DAY
    refresh(publisher.repository())
    publisher.now += 336 * DAY
    (publisher.keys.folder / "release.pem").unlink()
    refresh(publisher.repository())
    with pytest.raises(InstallError, match=r"soon: app\.notes") as caught:
        looked_at(publisher).require_health()
    assert "release" in caught.value.hint


def test_what_has_expired_is_told(publisher: Publisher) -> None:
    publisher.now += 8 * DAY
    assert looked_at(publisher).expired == ("timestamp",)
    with pytest.raises(TrustError, match="expired: timestamp"):
        looked_at(publisher).require_health()


@pytest.mark.parametrize(
    "role", ["root", "targets", "app.notes", "channels.notes", "snapshot", "timestamp"]
)
def test_a_role_that_lacks_its_signature_is_named(role: str, publisher: Publisher) -> None:
    rewrite(newest(publisher, role), lambda _: None)
    assert looked_at(publisher).unsigned == (role,)
    with pytest.raises(TrustError, match=f"unsigned: {role}"):
        looked_at(publisher).require_health()


def test_missing_short_and_unreferenced_files_are_named(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    folder = publisher.folder / "targets/notes/releases/1.0"
    (bundle,), (manifest,) = folder.glob("*.bundle"), folder.glob("*.manifest")
    bundle.unlink()
    manifest.write_bytes(b"short")
    (folder / "left.part").write_bytes(b"x")
    found = looked_at(publisher)
    names = [path.relative_to(publisher.folder).as_posix() for path in (bundle, manifest)]
    assert found.missing == tuple(sorted(names))
    assert found.unreferenced == ("targets/notes/releases/1.0/left.part",)
    with pytest.raises(TrustError, match="missing"):
        found.require_health()


def test_every_root_must_be_kept_for_who_installed_long_ago(publisher: Publisher) -> None:
    publisher.now += 700 * DAY
    refresh(publisher.repository())
    (publisher.folder / "metadata/1.root.json").unlink()
    assert looked_at(publisher).missing == ("metadata/1.root.json",)


def test_the_command_needs_no_key_and_says_by_exit_code_how_ill_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = int(time.time())
    for days, code in ((0, 0), (5, 7), (9, 4)):
        publisher = Publisher(tmp_path / f"{days}", now=now - days * DAY)
        assert main(["doctor", str(publisher.folder), "--json"]) == code
        document = json.loads(capsys.readouterr().out)
        assert document["due"] == (["timestamp"] if days else [])
        assert document["expired"] == (["timestamp"] if days == 9 else [])
    assert main(["doctor", str(tmp_path / "9/repository")]) == 4
    assert "timestamp 1: valid until" in capsys.readouterr().out
    assert main(["doctor", str(tmp_path)]) == 7
