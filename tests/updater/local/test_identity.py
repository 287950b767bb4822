"""Each install stands in rollouts by itself, copies of it too, and says of itself no more."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import read_tree
from updater.cli.commands import main
from updater.client import Updater
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.format.rollout_bucket import bucket
from updater.local.identity import Identity, machine_id
from updater.local.session import Session
from updater.update.install_new import install

MACHINE = "0f" * 16


def on(session: Session, machine: str) -> Session:
    """The same session on another machine."""
    return replace(session, machine=lambda: machine)


@pytest.fixture
def app(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Path:
    """An install on `MACHINE`."""
    publisher.release("1.0", {"f": b"1"})
    folder = tmp_path / "home/app"
    folder.parent.mkdir()
    install(folder, url, publisher.root, "notes", session=on(session, MACHINE))
    return folder


def name_of(app: Path, session: Session) -> str:
    return session.identities(Updater(app)._state).read().name


def copied(app: Path, to: Path) -> Path:
    """A copy of the install with its State."""
    shutil.copytree(app.parent, to)
    return to / "app"


def moved(app: Path, to: Path) -> Path:
    app.parent.rename(to)
    return to / "app"


def restored(app: Path, to: Path) -> Path:
    """A backup, put back where it came from."""
    shutil.copytree(app.parent, to)
    shutil.rmtree(app.parent)
    shutil.copytree(to, app.parent)
    return app


@pytest.mark.parametrize(
    ("do", "machine", "same"),
    [
        (lambda app, _: app, MACHINE, True),
        (lambda app, _: app, "another", False),
        (lambda app, _: app, "", True),
        (moved, MACHINE, True),
        (moved, "another", False),
        (restored, MACHINE, True),
        (copied, MACHINE, False),
        (copied, "another", False),
    ],
    ids=[
        "stays",
        "cloned",
        "machine unknown",
        "moved",
        "moved to another machine",
        "restored",
        "copied",
        "copied to another machine",
    ],
)
def test_a_copy_gets_a_name_of_its_own_and_nothing_else_does(
    do: Callable[[Path, Path], Path],
    machine: str,
    same: bool,
    app: Path,
    tmp_path: Path,
    session: Session,
) -> None:
    before = name_of(app, on(session, MACHINE))
    there, here = do(app, tmp_path / "there"), on(session, machine)
    after = name_of(there, here)
    assert (after == before) == same
    assert Updater(there, here).check() is None
    assert name_of(there, here) == after, "who may only read finds the same"
    assert not Updater(there, here).update()
    kept = Identity.parse(Updater(there)._state.identity.read_bytes())
    assert kept.name == after
    assert name_of(there, here) == after


def test_clones_stand_apart_in_a_rollout(app: Path, session: Session) -> None:
    names = {name_of(app, on(session, str(n))) for n in range(50)}
    assert len(names) == 50
    assert len({bucket("seed", "2.0", name) for name in names}) > 45


def test_a_machine_that_was_unknown_is_learned_without_a_new_name(
    tmp_path: Path, url: str, publisher: Publisher, session: Session
) -> None:
    publisher.release("1.0", {"f": b"1"})
    install(tmp_path / "app", url, publisher.root, "notes", session=on(session, ""))
    before = name_of(tmp_path / "app", on(session, ""))
    assert not Updater(tmp_path / "app", on(session, MACHINE)).update()
    assert name_of(tmp_path / "app", on(session, MACHINE)) == before
    assert name_of(tmp_path / "app", on(session, "another")) != before


def test_a_rollback_does_not_bring_an_earlier_name_back(
    app: Path, publisher: Publisher, session: Session
) -> None:
    here = on(session, MACHINE)
    publisher.release("2.0", {"f": b"2"})
    updater = Updater(app, here)
    updater.update()
    updater.draw_identity()
    drawn = name_of(app, here)
    updater.rollback()
    assert read_tree(app) == {"f": b"1"}
    assert name_of(app, here) == drawn


def test_what_is_kept_tells_nobody_which_machine_or_folder_it_is(
    app: Path, session: Session
) -> None:
    for path in Updater(app)._state.folder.rglob("*"):
        if path.is_file():
            said = path.read_bytes()
            assert MACHINE.encode() not in said
            assert hashlib.sha256(MACHINE.encode()).hexdigest()[:32].encode() not in said
    assert str(app.parent) not in Updater(app)._state.identity.read_text()
    assert name_of(app, on(session, MACHINE)) not in Updater(app).identity


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", None])
def test_a_lost_identity_stops_no_update_and_is_one_again(
    damage: bytes | None, app: Path, publisher: Publisher, session: Session
) -> None:
    here, path = on(session, MACHINE), Updater(app)._state.identity
    path.unlink() if damage is None else path.write_bytes(damage)
    found = name_of(app, here)
    assert found == name_of(app, here)
    publisher.release("2.0", {"f": b"2"})
    assert Updater(app, here).update()
    assert Identity.parse(path.read_bytes()).name == found


def test_an_identity_that_cannot_be_written_stops_no_update(
    app: Path, publisher: Publisher, session: Session
) -> None:
    class Full(Disk):
        def write(
            self, path: Path, data: bytes, *, executable: bool = False, private: bool = False
        ) -> None:
            if path.name == "identity.json":
                raise OSError(28, "No space left on device")
            super().write(path, data, executable=executable, private=private)

    publisher.release("2.0", {"f": b"2"})
    done = Updater(app, replace(on(session, "another"), disk=Full())).update()
    assert done is not None


def test_the_command_tells_it_and_draws_another(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["identity", "--dir", str(app), "--json"]) == 0
    before = capsys.readouterr().out
    assert main(["identity", "--dir", str(app), "new", "--json"]) == 0
    after = capsys.readouterr().out
    assert before != after
    assert main(["identity", "--dir", str(app), "--json"]) == 0
    assert capsys.readouterr().out == after
    with locked(Updater(app)._state.lock, "updating"):
        assert main(["identity", "--dir", str(app), "new"]) == 7


def test_this_machine_has_a_name_or_none() -> None:
    assert machine_id() == machine_id()
    assert "\n" not in machine_id()
