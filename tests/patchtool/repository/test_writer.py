"""One writer: where a server signs what is offered, this tool signs releases and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from patchtool.ceremonies.rotation import revoke, rotate
from patchtool.cli.parser import main
from patchtool.release.apps import add_app, remove_app
from patchtool.release.recall import recall
from patchtool.release.refresh import refresh
from patchtool.repository.writer import WRITER_FILE, name_writer, writer_of

from tests.support.repository.copies import synced
from tests.support.repository.dying import NEW, killed_everywhere
from tests.support.repository.publisher import Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def publisher(tmp_path: Path, released: Publisher) -> Publisher:
    """A repository that a server writes; no online key is here."""
    name_writer(Disk(), released.folder, "server")
    (released.keys.folder / "online.pem").rename(tmp_path / "online.pem")
    return released


def visible(publisher: Publisher, memory: Path) -> set[str]:
    return offered(publisher.folder, look(publisher.folder, memory, publisher.root))


def online(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "online.pem").rename(publisher.keys.folder / "online.pem")


def signed(publisher: Publisher) -> set[str]:
    return set(publisher.repository().look().targets("app.notes"))


def test_a_repository_is_written_here_unless_somebody_said_else(tmp_path: Path) -> None:
    assert writer_of(tmp_path) == "local"
    name_writer(Disk(), tmp_path, "server")
    assert writer_of(tmp_path) == "server"
    name_writer(Disk(), tmp_path, "local")
    assert writer_of(tmp_path) == "local"


def test_releases_are_signed_on_top_of_each_other_and_nobody_sees_them_yet(
    publisher: Publisher, tmp_path: Path
) -> None:
    before = files(publisher.folder)
    publisher.add("2.0", NEW)
    third = publisher.add("3.0", {**NEW, "g": b"3"})
    recall(publisher.repository(), "notes", "2.0", now=publisher.now)
    assert third is not None
    assert list(third.patches) == ["2.0", "1.0"]
    new = {name for name in files(publisher.folder) if name not in before}
    assert {name for name in new if name.startswith("metadata/")} == {
        f"metadata/{n}.app.notes.json" for n in (3, 4, 5)
    }
    assert files(publisher.folder).items() >= before.items(), "nothing that is seen has changed"
    assert visible(publisher, tmp_path / "memory") == {"1.0"}
    names = {f"notes/releases/{v}/manifest" for v in ("1.0", "2.0", "3.0")}
    assert signed(publisher) >= names


COMMANDS: dict[str, Callable[[Publisher], object]] = {
    "promote": lambda publisher: publisher.promote("1.0"),
    "refresh": lambda publisher: refresh(publisher.repository(), 100),
    "rotate": lambda publisher: rotate(publisher.repository(), "root"),
    "revoke": lambda publisher: revoke(publisher.repository(), "release"),
    "apps add": lambda publisher: add_app(publisher.repository(), "draw"),
    "apps remove": lambda publisher: remove_app(publisher.repository(), "notes"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_server_signs_is_not_signed_here_even_with_its_key(
    name: str, publisher: Publisher, tmp_path: Path
) -> None:
    online(publisher, tmp_path)
    before, keys = files(publisher.folder), files(publisher.keys.folder)
    with pytest.raises(InstallError, match="the server writes") as caught:
        COMMANDS[name](publisher)
    assert "patchtool writer" in caught.value.hint
    assert (files(publisher.folder), files(publisher.keys.folder)) == (before, keys)


def test_it_may_be_copied_all_the_same(publisher: Publisher, tmp_path: Path) -> None:
    publisher.add("2.0", NEW)
    synced(publisher, tmp_path / "host")
    assert offered(tmp_path / "host", look(tmp_path / "host", tmp_path / "m", publisher.root)) == {
        "1.0"
    }
    assert not (tmp_path / "host" / WRITER_FILE).exists()


@pytest.mark.crash
def test_a_release_signed_for_the_server_killed_anywhere_is_signed_whole_or_not(
    publisher: Publisher, tmp_path: Path
) -> None:
    seen = []
    for n, lived in enumerate(
        killed_everywhere(publisher, tmp_path, lambda: publisher.add("2.0", NEW))
    ):
        assert visible(publisher, tmp_path / f"{n}") == {"1.0"}
        seen.append(len(signed(publisher)))
        if not lived:
            publisher.add("2.0", NEW)
        for target in publisher.repository().look().targets("app.notes").values():
            assert publisher.repository().path_of(target).stat().st_size == target.length
    assert set(seen) == {2, 5}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n",
        b'{"format":1,"writer":"me"}\n',
        b'{"format":2,"writer":"local"}\n',
        b"x" * 5000,
    ],
)
def test_if_nobody_can_tell_who_writes_it_nobody_does(
    data: bytes, publisher: Publisher, tmp_path: Path
) -> None:
    online(publisher, tmp_path)
    (publisher.folder / WRITER_FILE).write_bytes(data)
    before = files(publisher.folder)
    for command in (COMMANDS["promote"], COMMANDS["refresh"], lambda p: p.add("2.0", NEW)):
        with pytest.raises(FormatError) as caught:
            command(publisher)
        assert "say again" in caught.value.hint
    assert files(publisher.folder) == before
    name_writer(Disk(), publisher.folder, "local")
    publisher.release("2.0", NEW)


def test_the_command_tells_and_sets_it(
    publisher: Publisher, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(*words: str) -> object:
        assert main(["writer", str(publisher.folder), *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert said() == {"writer": "server"}
    assert said("local") == {"writer": "local"}
    assert said() == {"writer": "local"}
    assert main(["writer", str(publisher.folder)]) == 0
    assert "patchtool signs what is offered" in capsys.readouterr().out
    assert main(["writer", str(tmp_path)]) == 7
    with pytest.raises(SystemExit):
        main(["writer", str(publisher.folder), "me"])
