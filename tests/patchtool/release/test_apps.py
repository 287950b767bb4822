"""Several apps in one repository: none can touch another, and clients are told what ends."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.drill import drill
from patchtool.ceremonies.rotation import rotate
from patchtool.cli.parser import main
from patchtool.doctor.doctor import diagnose
from patchtool.keys.signing_keys import Keys
from patchtool.release.apps import add_app, remove_app
from patchtool.release.refresh import refresh
from patchtool.repository.targets import NewTarget
from securesystemslib.signer import CryptoSigner

from tests.support.attacks.hostile import newest, rewrite
from tests.support.repository.dying import killed_everywhere
from tests.support.repository.health import require_health
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files
from tests.support.servers.serving import served
from tests.support.trees.trees import Tree, read_tree
from updater.client import Updater
from updater.errors import FormatError, InstallError, TrustError
from updater.local.session import Session
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


DAY = 86_400
ONE: Tree = {"f": b"1"}
TWO: Tree = {"f": b"2"}


def of_app(publisher: Publisher, app: str) -> Publisher:
    """The same publisher, busy with another app."""
    other = copy.copy(publisher)
    other.app = app
    return other


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    """A repository of ``notes`` and ``draw``, each with a release."""
    publisher.release("1.0", ONE)
    add_app(publisher.repository(), "draw")
    of_app(publisher, "draw").release("1.0", ONE)
    return publisher


@pytest.fixture
def draw(publisher: Publisher) -> Publisher:
    return of_app(publisher, "draw")


class Installs:
    """An install of each app."""

    def __init__(self, folder: Path, publisher: Publisher, session: Session, url: str) -> None:
        self.folder = folder
        self._session = session
        for app in ("notes", "draw"):
            install(folder / app, url, publisher.root, app, session=session)

    def __getitem__(self, app: str) -> Updater:
        return Updater(self.folder / app, self._session)

    def follows(self, publisher: Publisher, version: str, tree: Tree) -> None:
        """The next release reaches its own app."""
        publisher.release(version, tree)
        done = self[publisher.app].update()
        assert done is not None
        assert done.new == version
        assert read_tree(self.folder / publisher.app) == tree


@pytest.fixture
def installs(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Installs:
    return Installs(tmp_path, publisher, session, url)


def test_two_apps_are_released_side_by_side(
    installs: Installs, publisher: Publisher, draw: Publisher
) -> None:
    installs.follows(publisher, "2.0", TWO)
    assert not installs["draw"].update()
    installs.follows(draw, "2.0", TWO)
    assert not installs["notes"].update()
    assert [path.name for path in publisher.keys.paths("release")] == [
        "release.draw.pem",
        "release.pem",
    ]


def thief(draw: Publisher) -> CryptoSigner:
    """Whoever has stolen the release key of draw."""
    path = draw.keys.folder / "release.draw.pem"
    return draw.keys.load("release", path)


def test_a_stolen_release_key_signs_nothing_of_another_app(
    installs: Installs, publisher: Publisher, draw: Publisher
) -> None:
    publisher.release("2.0", TWO)
    rewrite(newest(publisher, "app.notes"), lambda _: None, thief(draw))
    with pytest.raises(TrustError):
        installs["notes"].update()
    assert read_tree(installs.folder / "notes") == ONE
    assert not installs["draw"].update()


@pytest.mark.parametrize("name", ["notes/releases/2.0/bundle", "notes/channels/stable"])
def test_what_it_signs_in_its_own_role_under_the_name_of_another_counts_for_nothing(
    name: str, installs: Installs, publisher: Publisher, draw: Publisher
) -> None:
    stolen = draw.repository()
    stolen.publish("app.draw", [NewTarget.of(name, b"evil", {})])
    assert not installs["notes"].update()
    assert not installs["draw"].update()
    installs.follows(publisher, "2.0", TWO)
    installs.follows(draw, "2.0", TWO)


def test_the_key_of_one_app_publishes_nothing_of_another(
    publisher: Publisher, draw: Publisher
) -> None:
    before = files(publisher.folder)
    (publisher.keys.folder / "release.pem").unlink()
    with pytest.raises(InstallError, match="no release key"):
        publisher.add("2.0", TWO)
    shutil.copy(publisher.keys.folder / "release.draw.pem", publisher.keys.folder / "release.pem")
    with pytest.raises(InstallError, match="is not the one"):
        publisher.add("2.0", TWO)
    assert files(publisher.folder) == before
    assert draw.add("2.0", TWO) is not None


def test_the_keys_of_other_apps_are_not_even_opened(publisher: Publisher, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other", {"UPSWAP_KEY_PASSWORD": "another one"})
    made = other.make_another("release", "paint")
    shutil.copy2(made, publisher.keys.folder)
    assert publisher.add("2.0", TWO) is not None
    done = rotate(publisher.repository(), "release", app="notes", at_once=True)
    assert [path.name for path in done.made] == ["release.notes.pem"]
    assert [path.name for path in done.retired] == ["revoked-release.pem"]


def test_an_app_is_given_another_key_and_the_others_do_not_notice(
    installs: Installs, publisher: Publisher, draw: Publisher
) -> None:
    stolen = thief(draw)
    notes = publisher.repository().look().keys_of("app.notes")
    done = rotate(publisher.repository(), "release", app="draw", at_once=True)
    assert [path.name for path in done.made] == ["release.draw.2.pem"]
    assert publisher.repository().look().keys_of("app.notes") == notes
    installs.follows(publisher, "2.0", TWO)
    installs.follows(draw, "2.0", TWO)
    draw.release("3.0", ONE)
    rewrite(newest(draw, "app.draw"), lambda _: None, stolen)
    with pytest.raises(TrustError):
        installs["draw"].update()


def test_installs_of_a_removed_app_are_told_and_stay_as_they_are(
    installs: Installs, publisher: Publisher
) -> None:
    retired = remove_app(publisher.repository(), "draw")
    assert [path.name for path in retired] == ["revoked-release.draw.pem"]
    for _ in range(2):
        with pytest.raises(InstallError, match="publishes draw no more") as caught:
            installs["draw"].update()
        assert "goes on working" in caught.value.hint
    assert installs["draw"].verify(full=True).whole
    installs.follows(publisher, "2.0", TWO)
    found = diagnose(publisher.folder, publisher.now)
    require_health(found)
    assert publisher.repository().look().apps() == ["notes"]
    assert not any("draw" in standing.role for standing in found.statuses)


def test_a_removed_app_signs_nothing_any_more(publisher: Publisher, draw: Publisher) -> None:
    remove_app(publisher.repository(), "draw")
    before = files(publisher.folder)
    with pytest.raises(InstallError, match=r"does not know app\.draw"):
        draw.add("2.0", TWO)
    with pytest.raises(InstallError, match=r"does not know app\.draw"):
        draw.promote("1.0")
    assert files(publisher.folder) == before


def test_an_app_that_comes_back_has_another_key_and_its_installs_follow(
    installs: Installs, publisher: Publisher, draw: Publisher
) -> None:
    before = publisher.repository().look().keys_of("app.draw")
    remove_app(publisher.repository(), "draw")
    with pytest.raises(InstallError):
        installs["draw"].update()
    done = add_app(publisher.repository(), "draw")
    assert done.key not in {key.keyid for key in before}
    draw.release("1.0", ONE)
    assert not installs["draw"].update()
    installs.follows(draw, "2.0", TWO)


def test_a_key_that_was_brought_is_the_one_of_its_app(publisher: Publisher) -> None:
    made = publisher.keys.make_another("release", "paint")
    publisher.keys.make_another("release", "other")
    done = add_app(publisher.repository(), "paint")
    assert done.made is None
    assert done.key == publisher.keys.load("release", made).public_key.keyid


@pytest.mark.parametrize(
    "app", ["root", "targets", "snapshot", "timestamp", "", "Draw", "a/b", "app.x", "x" * 41]
)
def test_an_app_has_no_name_of_a_role_and_none_that_files_cannot_have(
    app: str, publisher: Publisher
) -> None:
    before = files(publisher.folder)
    with pytest.raises(FormatError, match="app name"):
        add_app(publisher.repository(), app)
    assert files(publisher.folder) == before


def test_an_app_is_added_once_and_the_last_one_stays(publisher: Publisher) -> None:
    with pytest.raises(InstallError, match="draw is there already"):
        add_app(publisher.repository(), "draw")
    with pytest.raises(InstallError, match="does not know paint"):
        remove_app(publisher.repository(), "paint")
    remove_app(publisher.repository(), "notes")
    with pytest.raises(InstallError, match="draw is the only app"):
        remove_app(publisher.repository(), "draw")


@pytest.mark.parametrize("role", ["targets", "online"])
def test_without_the_keys_it_needs_no_app_comes_or_goes(role: str, publisher: Publisher) -> None:
    (publisher.keys.folder / f"{role}.pem").unlink()
    before, keys = files(publisher.folder), files(publisher.keys.folder)
    for command in (
        lambda: add_app(publisher.repository(), "paint"),
        lambda: remove_app(publisher.repository(), "draw"),
    ):
        with pytest.raises(InstallError, match=f"no {role} key"):
            command()
    assert (files(publisher.folder), files(publisher.keys.folder)) == (before, keys)


COMMANDS: dict[str, Callable[[Publisher], object]] = {
    "add": lambda publisher: add_app(publisher.repository(), "paint"),
    "remove": lambda publisher: remove_app(publisher.repository(), "draw"),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", COMMANDS)
def test_an_app_that_comes_or_goes_killed_anywhere_is_there_or_not(
    name: str, publisher: Publisher, session: Session, tmp_path: Path
) -> None:
    shutil.copytree(publisher.keys.folder, tmp_path / "keys before")
    with served(publisher.folder) as url:
        installs = Installs(tmp_path / "installs", publisher, session, url)
        seen = []
        for lived in killed_everywhere(publisher, tmp_path, lambda: COMMANDS[name](publisher)):
            apps = publisher.repository().look().apps()
            seen.append(apps)
            assert not installs["notes"].update()
            if not lived:
                if apps == ["draw", "notes"]:
                    COMMANDS[name](publisher)
                made = publisher.keys.folder.glob("release.paint*.pem")
                assert len(list(made)) == (name == "add"), "a key that was made is used"
                shutil.rmtree(publisher.keys.folder)
                shutil.copytree(tmp_path / "keys before", publisher.keys.folder)
                shutil.rmtree(tmp_path / "installs")
                shutil.rmtree(publisher.folder)
                shutil.copytree(tmp_path / "before", publisher.folder)
                installs = Installs(tmp_path / "installs", publisher, session, url)
    after = ["draw", "notes", "paint"] if name == "add" else ["notes"]
    assert (seen[0], seen[-1]) == (["draw", "notes"], after)
    assert len(seen) > 5


def test_a_job_with_the_key_of_one_app_names_what_the_others_must_sign(
    publisher: Publisher,
) -> None:
    publisher.now += 340 * DAY
    refresh(publisher.repository())
    publisher.now += 340 * DAY
    (publisher.keys.folder / "release.pem").unlink()
    done = refresh(publisher.repository())
    assert [standing.role for standing in done.missing] == ["app.notes"]
    assert "app.draw" in {standing.role for standing in done.signed}


def test_the_loss_of_every_key_is_rehearsed_for_all_apps(publisher: Publisher) -> None:
    publisher.keys.make_another("root")
    rotate(publisher.repository(), "root")
    results = list(drill(publisher.folder, publisher.keys, publisher.now))
    assert [result.words for result in results if not result.survived] == []
    assert "2 release keys" in {result.loss for result in results}


def test_a_first_release_key_of_another_app_is_not_delegated_by_init(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", PASSWORD)
    keys.make_missing(1)
    other = keys.load("release", keys.make_another("release", "draw")).public_key.keyid
    publisher = Publisher(tmp_path)
    named = {key.keyid for key in publisher.repository().look().keys_of("app.notes")}
    assert len(named) == 1
    assert other not in named


def test_the_commands_tell_people_and_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    publisher = Publisher(tmp_path, now=int(time.time()))
    where = [str(publisher.folder), "--keys", str(publisher.keys.folder), "--json"]

    def said(*words: str) -> dict[str, Any]:
        assert main([*words]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    added = said("apps", "add", *where, "--app", "draw")
    assert added["made"] == str(publisher.keys.folder / "release.draw.pem")
    assert said("apps", "list", str(publisher.folder), "--json")["apps"]["draw"] == [added["key"]]
    removed = said("apps", "remove", *where, "--app", "draw")
    assert removed["retired"] == [str(publisher.keys.folder / "revoked-release.draw.pem")]
    assert main(["apps", "remove", *where, "--app", "draw"]) == 7
    assert main(["apps", "add", *where, "--app", "root"]) == 5
    assert main(["apps", "list", str(tmp_path)]) == 7
    capsys.readouterr()
    assert main(["apps", "add", *where[:-1], "--app", "draw"]) == 0
    assert "draw is hosted now" in capsys.readouterr().out
