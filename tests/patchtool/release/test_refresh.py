"""``patchtool refresh``: what expires is signed in time, by whoever is there, whatever happens."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from patchtool.cli.parser import main
from patchtool.keys.roles import LIFETIMES, NOTICE
from patchtool.keys.signing_keys import PASSWORD as VARIABLE
from patchtool.keys.signing_keys import Keys
from patchtool.release.refresh import Refreshed, refresh
from patchtool.repository.repository import Repository

from tests.support.repository.dying import killed_everywhere
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.trees import Tree
from updater.errors import InstallError, TransportError, TrustError

DAY = 86_400
ONE: Tree = {"f": b"1"}
TWO: Tree = {"f": b"2"}
ONLINE = ["channels.notes", "snapshot", "timestamp"]
OFFLINE = {"root": "root", "targets": "targets", "app.notes": "release"}
SOON = {"root": 671, "targets": 671, "app.notes": 336}
"""Days after which an offline signature is due."""


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    publisher.release("1.0", ONE)
    return publisher


def signed(done: Refreshed) -> list[str]:
    return [standing.role for standing in done.signed]


def drop_keys(publisher: Publisher, *names: str) -> None:
    for name in names:
        (publisher.keys.folder / f"{name}.pem").unlink()


def test_nothing_is_written_while_nothing_is_due(publisher: Publisher) -> None:
    before = files(publisher.folder)
    publisher.now += 2 * DAY
    assert refresh(publisher.repository()) == Refreshed((), ())
    assert files(publisher.folder) == before


def test_a_timestamp_is_signed_while_it_has_days_left(publisher: Publisher, tmp_path: Path) -> None:
    publisher.now += 4 * DAY
    before = files(publisher.folder)
    assert signed(refresh(publisher.repository())) == ["timestamp"]
    after = files(publisher.folder)
    assert {n for n in after if after[n] != before.get(n)} == {"metadata/timestamp.json"}
    publisher.now += 6 * DAY
    catalogue = look(publisher.folder, tmp_path / "m", publisher.root, publisher.now)
    assert offered(publisher.folder, catalogue) == {"1.0"}


def test_a_daily_job_with_the_online_key_keeps_clients_going_for_a_year(
    publisher: Publisher, tmp_path: Path
) -> None:
    root = publisher.root
    drop_keys(publisher, "root", "targets", "release")
    for _ in range(120):
        publisher.now += 3 * DAY
        refresh(publisher.repository())
        look(publisher.folder, tmp_path / "m", root, publisher.now)
    publisher.now += 3 * DAY
    done = refresh(publisher.repository())
    look(publisher.folder, tmp_path / "m", root, publisher.now)
    assert [s.role for s in done.missing] == ["app.notes"], "who must come is named in time"
    publisher.now += 3 * DAY
    refresh(publisher.repository())
    with pytest.raises(TrustError, match="expired"):
        look(publisher.folder, tmp_path / "m", root, publisher.now)


@pytest.mark.parametrize("role", OFFLINE)
def test_an_offline_role_that_is_due_is_signed_if_its_key_is_there_else_named(
    role: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.now += SOON[role] * DAY
    aside = shutil.copytree(publisher.keys.folder, tmp_path / "aside")
    drop_keys(publisher, OFFLINE[role])
    done = refresh(publisher.repository())
    assert (role, OFFLINE[role]) in [(s.role, s.key) for s in done.missing]
    assert role not in signed(done)
    assert {"channels.notes", "snapshot", "timestamp"} <= set(signed(done))
    shutil.copytree(aside, publisher.keys.folder, dirs_exist_ok=True)
    before = len(list((publisher.folder / "metadata").iterdir()))
    done = refresh(publisher.repository())
    assert role in signed(done)
    assert done.missing == ()
    assert len(list((publisher.folder / "metadata").iterdir())) > before
    publisher.now += 5 * DAY
    look(publisher.folder, tmp_path / "m", publisher.root, publisher.now)
    assert refresh(publisher.repository()).missing == ()


def test_a_root_is_signed_by_as_many_as_it_needs_or_not_at_all(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", PASSWORD)
    keys.make_missing(threshold=2)
    Repository(tmp_path / "r", keys, NOW).create("notes", threshold=2)
    later = NOW + SOON["root"] * DAY
    (tmp_path / "keys/root-1.pem").unlink()
    (tmp_path / "keys/root-2.pem").rename(tmp_path / "away")
    assert [s.role for s in refresh(Repository(tmp_path / "r", keys, later)).missing] == ["root"]
    assert not (tmp_path / "r/metadata/2.root.json").exists()
    (tmp_path / "away").rename(tmp_path / "keys/root-2.pem")
    assert "root" in signed(refresh(Repository(tmp_path / "r", keys, later)))
    assert (tmp_path / "r/metadata/2.root.json").exists()


def test_without_the_online_key_it_says_so_and_writes_nothing(publisher: Publisher) -> None:
    drop_keys(publisher, "online")
    publisher.now += 6 * DAY
    before = files(publisher.folder)
    with pytest.raises(InstallError, match="timestamp is to be signed"):
        refresh(publisher.repository())
    assert files(publisher.folder) == before


def test_the_key_of_another_repository_signs_nothing(publisher: Publisher, tmp_path: Path) -> None:
    Keys(tmp_path / "others", PASSWORD).make_missing(threshold=1)
    (tmp_path / "others/online.pem").replace(publisher.keys.folder / "online.pem")
    publisher.now += 6 * DAY
    before = files(publisher.folder)
    with pytest.raises(InstallError, match="online key is not the one"):
        refresh(publisher.repository())
    assert files(publisher.folder) == before


def test_a_repository_restored_from_a_backup_is_accepted_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    backup = shutil.copytree(publisher.folder, tmp_path / "backup")
    publisher.release("2.0", TWO)
    publisher.promote("2.0")
    look(publisher.folder, tmp_path / "m", publisher.root)
    shutil.rmtree(publisher.folder)
    shutil.copytree(backup, publisher.folder)
    with pytest.raises(TransportError, match="older state"):
        look(publisher.folder, tmp_path / "m", publisher.root)
    done = refresh(publisher.repository(), at_least=100)
    assert {(s.role, s.version) for s in done.signed} == {
        (role, 100) for role in ["app.notes", "targets", *ONLINE]
    }
    restored = look(publisher.folder, tmp_path / "m", publisher.root)
    assert offered(publisher.folder, restored) == {"1.0"}
    assert signed(refresh(publisher.repository(), at_least=100)) == []
    publisher.release("2.0", TWO)
    assert look(publisher.folder, tmp_path / "m", publisher.root).head.entries[0].version == "2.0"


def test_a_restore_names_the_roles_whose_keys_are_not_there(publisher: Publisher) -> None:
    drop_keys(publisher, "targets", "release", "root")
    done = refresh(publisher.repository(), at_least=100)
    assert {s.role for s in done.missing} == {"targets", "app.notes"}
    assert signed(done) == ONLINE


@pytest.mark.crash
def test_a_refresh_that_is_killed_anywhere_leaves_what_clients_accept(
    publisher: Publisher, tmp_path: Path
) -> None:
    """Every role is signed, a new root too; then the command is simply run again."""
    root, folder = publisher.root, publisher.folder
    publisher.now += SOON["root"] * DAY - 2 * DAY
    refresh(publisher.repository())
    look(folder, tmp_path / "memory", root, publisher.now)
    publisher.now += 2 * DAY

    def command() -> Refreshed:
        return refresh(publisher.repository(), at_least=50)

    for n, lived in enumerate(killed_everywhere(publisher, tmp_path, command)):
        memory = shutil.copytree(tmp_path / "memory", tmp_path / f"{n}", symlinks=True)
        assert offered(folder, look(folder, memory, root, publisher.now)) == {"1.0"}
        again = command()
        assert not lived or again == Refreshed((), ())
        assert offered(folder, look(folder, memory, root, publisher.now + 6 * DAY)) == {"1.0"}
        assert (folder / "metadata/2.root.json").exists()
    assert n > 15, "every write of it was interrupted"


def test_every_role_is_due_before_it_ends_and_not_at_once() -> None:
    assert set(NOTICE) == set(LIFETIMES)
    assert all(NOTICE[role] < LIFETIMES[role] for role in NOTICE)


def test_the_command_says_what_it_did_by_exit_code_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD[VARIABLE])
    publisher = Publisher(tmp_path / "p", now=int(time.time()) - 345 * DAY)
    words = ["refresh", str(publisher.folder), "--keys", str(publisher.keys.folder), "--json"]
    words += ["--clock", time.strftime("%Y-%m-%d", time.gmtime())]
    drop_keys(publisher, "release")
    assert main(words) == 7, "signed, but a key is needed soon"
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [role["role"] for role in document["signed"]] == ONLINE
    assert [(role["role"], role["key"]) for role in document["missing"]] == [
        ("app.notes", "release")
    ]
    assert "refresh with the release key" in said.err
    assert main(words) == 7
    assert json.loads(capsys.readouterr().out)["signed"] == []
    words.remove("--json")
    assert main([*words, "--at-least", "9"]) == 7
    assert "timestamp 9: valid until" in capsys.readouterr().out
    drop_keys(publisher, "online")
    assert main([*words, "--at-least", "99"]) == 7
