"""``patchtool prune``: a repository stays small, and nobody misses what went."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from patchtool.ceremonies.rotation import rotate
from patchtool.cli.parser import main
from patchtool.release.apps import add_app
from patchtool.release.recall import recall
from patchtool.repository.leftovers import PATIENCE, RECORD
from patchtool.repository.releases import Releases
from patchtool.repository.stored_files import missing
from patchtool.repository.targets import Listed
from patchtool.upkeep.prune import KEPT, PATCHED, Pruned, outdated, prune

from tests.support.repository.dying import killed_everywhere
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.trees import Tree, noise, read_tree
from updater.client import Updater
from updater.errors import InstallError
from updater.format.release_description import Release
from updater.local.session import Session
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


BIG = noise(3000)
DAY = 86_400


def tree(n: int) -> Tree:
    return {"data": BIG, "version": b"%d" % n}


def shelf(
    count: int, *, stops: Iterable[int] = (), recalled: Iterable[int] = (), reverse: bool = False
) -> Releases:
    """Releases 1.0 to ``count``.0, each with patches from the three before."""
    targets: dict[str, Listed] = {}

    def add(name: str, **custom: object) -> None:
        targets[name] = Listed(1, {"sha256": "0" * 64}, name, {"custom": custom})

    for n in range(1, count + 1):
        said = {"stop": True} if n in stops else {}
        mark = {"recalled": {"floor": f"{n - 1}.0"}} if n in recalled else {}
        add(f"notes/releases/{n}.0/manifest", **said, **mark)
        add(f"notes/releases/{n}.0/bundle")
        for base in range(max(1, n - 3), n):
            add(f"notes/patches/{base}.0_{n}.0")
            if reverse:
                add(f"notes/patches/{n}.0_{base}.0")
    return Releases("notes", targets)


def left(releases: Releases, *offers: int) -> tuple[set[int], set[int], set[int]]:
    """Numbers of the releases of which manifest, bundle, and a patch to it are kept."""
    gone = outdated(releases, {f"{n}.0" for n in offers})
    names = [name.split("/") for name in releases.targets if name not in gone]

    def of(what: str) -> set[int]:
        return {int(parts[2].partition(".")[0]) for parts in names if parts[-1] == what}

    pairs = (parts[2] for parts in names if parts[1] == "patches")
    patched = {int(pair.partition("_")[2].partition(".")[0]) for pair in pairs}
    return of("manifest"), of("bundle"), patched


def span(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


def test_of_a_few_releases_only_patches_to_old_ones_go() -> None:
    assert left(shelf(4), 4) == (span(1, 4), span(1, 4), span(2, 4))
    assert left(shelf(10), 10) == (span(1, 10), span(1, 10), span(6, 10))


def test_the_last_twenty_are_kept_and_patches_to_the_last_five() -> None:
    kept = span(31, 50)
    assert (KEPT, PATCHED) == (20, 5)
    assert left(shelf(50), 50) == (kept, kept, span(46, 50))


def test_what_a_channel_names_is_kept_with_its_patches() -> None:
    kept = span(31, 50) | {3}
    assert left(shelf(50), 50, 3) == (kept, kept, span(46, 50) | {3})


def test_what_no_update_may_jump_over_is_kept_with_its_patches() -> None:
    kept = span(31, 50) | {7}
    assert left(shelf(50, stops=[7]), 50) == (kept, kept, span(46, 50) | {7})


@pytest.mark.parametrize("demand", [{"required": True}, {"min_updater": "0.2"}])
def test_what_a_release_demands_of_who_jumps_over_it_is_never_pruned(
    demand: dict[str, object],
) -> None:
    releases = shelf(50)
    releases.targets["notes/releases/3.0/manifest"].unrecognized_fields["custom"] = demand
    assert left(releases, 50) == (span(31, 50) | {3}, span(31, 50), span(46, 50))


def test_of_recalled_releases_the_manifest_is_kept_for_ever_and_they_take_no_place() -> None:
    kept = span(29, 50)
    assert left(shelf(50, recalled=[5, 40, 50]), 49) == (kept | {5}, kept, span(45, 50))


def test_ways_back_are_kept_as_long_as_they_lead_to_what_is_offered() -> None:
    releases = shelf(50, recalled=[30], reverse=True)
    assert "notes/patches/30.0_29.0" in outdated(releases, {"50.0"})
    assert "notes/patches/30.0_29.0" not in outdated(releases, {"29.0"})


def test_what_is_of_another_kind_is_left_alone() -> None:
    name = "notes/what/x/y"
    other = Releases("notes", {name: Listed(1, {"sha256": "0" * 64}, name)})
    assert outdated(other, set()) == []


@pytest.fixture
def publisher(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """Six releases, in a world where two are kept and patches to one."""
    monkeypatch.setattr("patchtool.upkeep.prune.KEPT", 2)
    monkeypatch.setattr("patchtool.upkeep.prune.PATCHED", 1)
    for n in range(1, 7):
        publisher.release(f"{n}.0", tree(n))
    return publisher


def pruned(publisher: Publisher) -> Pruned:
    return prune(publisher.repository())


def test_files_go_a_month_after_they_are_published_no_more(
    publisher: Publisher,
) -> None:
    before = files(publisher.folder)
    done = pruned(publisher)
    assert "notes/releases/4.0/bundle" in done.removed
    assert (done.deleted, done.missing) == ((), ())
    assert before.items() - files(publisher.folder).items() == {
        ("metadata/timestamp.json", before["metadata/timestamp.json"])
    }
    publisher.now += 29 * DAY
    assert pruned(publisher).deleted == ()
    publisher.now += 2 * DAY
    again = pruned(publisher)
    assert (again.removed, again.deleted) == ((), done.waiting)
    assert again.freed_bytes > 0
    gone = before.keys() - files(publisher.folder).keys()
    assert any(name.endswith(".bundle") for name in gone)
    assert any(name.endswith(".snapshot.json") for name in gone), "old metadata goes too"
    assert not any(name.endswith((".root.json", ".targets.json")) for name in gone)
    assert not (publisher.folder / "targets/notes/releases/1.0").exists(), (
        "no empty folders are left"
    )


def test_pruning_twice_is_nothing_to_do_and_signs_nothing(publisher: Publisher) -> None:
    pruned(publisher)
    before = files(publisher.folder)
    again = pruned(publisher)
    assert (again.removed, again.deleted) == ((), ())
    assert files(publisher.folder) == before


def test_a_file_that_is_needed_again_is_not_deleted(publisher: Publisher) -> None:
    pruned(publisher)
    publisher.now += 20 * DAY
    publisher.release("7.0", tree(7))
    again = publisher.add("1.0", tree(1))
    assert again is not None
    publisher.promote("1.0")
    publisher.now += 11 * DAY
    done = pruned(publisher)
    assert done.deleted
    assert not any("/1.0/" in name for name in done.deleted)
    assert missing(publisher.repository().look()) == []


@pytest.mark.parametrize("record", [b"", b"{", b'{"format":1,"since":[]}\n', None])
def test_without_its_record_files_wait_anew(record: bytes | None, publisher: Publisher) -> None:
    waiting = pruned(publisher).waiting
    publisher.now += PATIENCE
    if record is None:
        (publisher.folder / RECORD).unlink()
    else:
        (publisher.folder / RECORD).write_bytes(record)
    done = pruned(publisher)
    assert (done.deleted, set(waiting) <= set(done.waiting)) == ((), True)
    publisher.now += PATIENCE
    assert set(waiting) <= set(pruned(publisher).deleted)


def test_a_clock_that_was_ahead_deletes_nothing_early(publisher: Publisher) -> None:
    publisher.now += 1000 * DAY
    refreshed = pruned(publisher)
    publisher.now -= 1000 * DAY
    assert pruned(publisher).deleted == ()
    publisher.now += PATIENCE - 1
    assert pruned(publisher).deleted == ()
    publisher.now += 1
    assert set(refreshed.waiting) <= set(pruned(publisher).deleted)


def test_clients_of_every_version_go_on(
    publisher: Publisher, session: Session, tmp_path: Path, url: str
) -> None:
    folders = {}
    for version in ("6.0", "7.0", "8.0"):
        folders[version] = tmp_path / version
        install(folders[version], url, publisher.root, "notes", session=session)
        following = float(version) + 1
        publisher.release(f"{following}", tree(int(following)))
    pruned(publisher)
    publisher.now += PATIENCE
    pruned(publisher)
    publisher.now -= PATIENCE
    for folder in folders.values():
        done = Updater(folder, session).update()
        assert done is not None
        assert read_tree(folder) == tree(9)


def test_whoever_has_a_recalled_release_finds_the_way_down_however_old_it_is(
    publisher: Publisher, session: Session, tmp_path: Path, url: str
) -> None:
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    recall(publisher.repository(), "notes", "6.0", now=publisher.now, floor="1.0")
    publisher.promote("1.0")
    pruned(publisher)
    publisher.now += PATIENCE
    assert pruned(publisher).deleted
    publisher.now -= PATIENCE
    updated = Updater(tmp_path / "app", session).update()
    assert updated is not None
    assert updated.new == "1.0"


def test_a_stop_is_not_pruned(publisher: Publisher) -> None:
    publisher.add("0.5", tree(0), release=Release(stop=True))
    assert not any("/0.5/" in name for name in pruned(publisher).removed)


@pytest.mark.crash
def test_a_prune_that_is_killed_anywhere_is_simply_run_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    pruned(publisher)
    publisher.release("7.0", tree(7))
    publisher.now += PATIENCE
    memory = tmp_path / "memory"
    seen = []
    publisher.now -= PATIENCE
    look(publisher.folder, memory, publisher.root)
    publisher.now += PATIENCE
    for n, lived in enumerate(killed_everywhere(publisher, tmp_path, lambda: pruned(publisher))):
        assert missing(publisher.repository().look()) == []
        shutil.copytree(memory, tmp_path / f"{n}", symlinks=True)
        now = publisher.now - PATIENCE
        catalogue = look(publisher.folder, tmp_path / f"{n}", publisher.root, now)
        seen.append(len(offered(publisher.folder, catalogue)))
        if not lived:
            pruned(publisher)
            after = pruned(publisher)
            assert (after.removed, after.deleted) == ((), ())
            assert missing(publisher.repository().look()) == []
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > seen[-1]
    assert len(seen) > 5


@pytest.mark.parametrize("fault", ["missing", "of another repository"])
def test_without_its_keys_nothing_is_removed(
    fault: str, publisher: Publisher, tmp_path: Path
) -> None:
    before = files(publisher.folder)
    (publisher.keys.folder / "online.pem").unlink()
    if fault == "of another repository":
        other = Publisher(tmp_path / "other")
        shutil.copy2(other.keys.folder / "online.pem", publisher.keys.folder)
    with pytest.raises(InstallError, match="online key"):
        pruned(publisher)
    assert files(publisher.folder) == before


def test_an_app_whose_release_key_is_elsewhere_is_named(publisher: Publisher) -> None:
    add_app(publisher.repository(), "draw")
    (publisher.keys.folder / "release.pem").unlink()
    done = pruned(publisher)
    assert (done.removed, done.missing) == ((), ("notes",))


def test_which_keys_have_ended_is_not_forgotten(publisher: Publisher) -> None:
    done = rotate(publisher.repository(), "release", at_once=True)
    (ended,) = done.retired
    pruned(publisher)
    publisher.now += PATIENCE
    assert pruned(publisher).deleted
    keyid = publisher.keys.load("release", ended).public_key.keyid
    assert keyid in publisher.repository().ever_named()


def test_the_command_tells_people_and_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    monkeypatch.setattr("patchtool.upkeep.prune.KEPT", 1)
    publisher = Publisher(tmp_path, now=int(time.time()))
    for n in (1, 2, 3):
        publisher.release(f"{n}.0", tree(n))
    line = ["prune", str(publisher.folder), "--keys", str(publisher.keys.folder)]
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"removed", "missing", "deleted", "freed_bytes", "waiting"}
    assert "notes/releases/1.0/bundle" in document["removed"]
    assert main(line) == 10
    assert "0 targets are published no more, 0 files deleted" in capsys.readouterr().out
