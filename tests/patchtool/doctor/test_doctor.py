"""``patchtool doctor``: what clients will stumble over is found before they do."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.rotation import rotate
from patchtool.cli.parser import main
from patchtool.doctor.doctor import Diagnosis, diagnose, diagnose_url
from patchtool.release.recall import recall
from patchtool.release.refresh import refresh
from patchtool.server.mirror import METADATA_MOST
from tuf.api.metadata import Metadata, MetaFile

from tests.support.attacks.hostile import flip, newest, rewrite, right_signer
from tests.support.repository.health import require_health
from tests.support.repository.publisher import Publisher
from tests.support.repository.seen_by_clients import files
from tests.support.repository.sessions import QUICK
from tests.support.servers.serving import served
from tests.support.trees.trees import Tree, noise
from updater.errors import FormatError, InstallError, MachineError, TrustError
from updater.net.http import HttpTransport

DAY = 86_400
ONE: Tree = {"f": b"1"}


def looked_at(publisher: Publisher) -> Diagnosis:
    return diagnose(publisher.folder, publisher.now)


def test_a_new_repository_is_well_and_left_as_it_is(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    before = files(publisher.folder)
    found = looked_at(publisher)
    require_health(found)
    ill = (found.expired, found.unsigned, found.faults.missing, found.unreferenced, found.due)
    assert ill == ((), (), (), (), ())
    assert [s.role for s in found.statuses] == [
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
        require_health(looked_at(publisher))
    assert "release" in caught.value.hint


def test_what_has_expired_is_told(publisher: Publisher) -> None:
    publisher.now += 8 * DAY
    assert looked_at(publisher).expired == ("timestamp",)
    with pytest.raises(TrustError, match="expired: timestamp"):
        require_health(looked_at(publisher))


@pytest.mark.parametrize(
    "role", ["root", "targets", "app.notes", "channels.notes", "snapshot", "timestamp"]
)
def test_a_role_that_lacks_its_signature_is_named(role: str, publisher: Publisher) -> None:
    rewrite(newest(publisher, role), lambda _: None)
    assert looked_at(publisher).unsigned == (role,)
    with pytest.raises(TrustError, match=f"unsigned: {role}"):
        require_health(looked_at(publisher))


def test_missing_short_and_unreferenced_files_are_named(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    folder = publisher.folder / "targets/notes/releases/1.0"
    (bundle,), (manifest,) = folder.glob("*.bundle"), folder.glob("*.manifest")
    bundle.unlink()
    manifest.write_bytes(b"short")
    (folder / "left.part").write_bytes(b"x")
    found = looked_at(publisher)
    names = [path.relative_to(publisher.folder).as_posix() for path in (bundle, manifest)]
    assert found.faults.missing == tuple(sorted(names))
    assert found.unreferenced == ("targets/notes/releases/1.0/left.part",)
    with pytest.raises(TrustError, match="missing"):
        require_health(found)


def test_every_root_must_be_kept_for_who_installed_long_ago(publisher: Publisher) -> None:
    publisher.now += 700 * DAY
    refresh(publisher.repository())
    (publisher.folder / "metadata/1.root.json").unlink()
    assert looked_at(publisher).faults.missing == ("metadata/1.root.json",)


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


def test_a_file_with_another_content_is_named(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    (bundle,) = (publisher.folder / "targets/notes/releases/1.0").glob("*.bundle")
    bundle.write_bytes(flip(bundle.read_bytes(), -1))
    assert looked_at(publisher).faults.damaged == (bundle.relative_to(publisher.folder).as_posix(),)
    with pytest.raises(TrustError, match="damaged: targets/notes"):
        require_health(looked_at(publisher))


BIG = noise(5000)


def ends(found: Diagnosis) -> dict[str, tuple[str | None, str, int]]:
    """Where installs of each version go, by which way, and how many of them."""
    return {o.version: (o.goal, o.way, o.percent) for o in found.clients}


def test_what_a_client_of_each_version_would_do_is_told(publisher: Publisher) -> None:
    for n in range(1, 6):
        publisher.add(f"{n}.0", {"f": BIG, "n": b"%d" % n})
    publisher.add("6.0", {"f": BIG, "n": b"6"}, bases=["5.0"])
    publisher.promote("6.0")
    found = looked_at(publisher)
    patch = ("6.0", "patch", 100)
    assert ends(found) == {
        "": ("6.0", "bundle", 100),
        **dict.fromkeys(("2.0", "3.0", "4.0", "5.0"), patch),
        "1.0": patch,
        "6.0": (None, "nothing", 100),
    }
    repository = publisher.repository()
    (new,) = (o for o in found.clients if o.version == "5.0")
    assert new.bytes == repository.look().targets("app.notes")["notes/patches/5.0_6.0"].length


def test_clients_that_can_go_nowhere_are_told_with_the_reason(publisher: Publisher) -> None:
    publisher.release("1.0", {"f": BIG})
    publisher.release("2.0", {"f": BIG, "n": b"2"})
    recall(publisher.repository(), "notes", "2.0", now=publisher.now, floor="2.0")
    stuck = [o for o in looked_at(publisher).clients if o.way == "stuck"]
    assert [(o.version, o.why) for o in stuck] == [
        ("2.0", "recalled, and nothing from 2.0 on is offered")
    ]
    assert stuck[0].words.startswith("notes stable: 2.0: stuck: recalled")
    recall(publisher.repository(), "notes", "2.0", now=publisher.now, floor="1.0")
    assert ends(looked_at(publisher))["2.0"] == ("1.0", "bundle", 100)
    recall(publisher.repository(), "notes", "1.0", now=publisher.now)
    assert {o.why for o in looked_at(publisher).clients if not o.version} == {"nothing is offered"}


def test_a_rollout_under_way_divides_them(publisher: Publisher) -> None:
    publisher.release("1.0", ONE)
    publisher.add("2.0", {"f": b"2"})
    publisher.promote("2.0", basis_points=3000)
    shares = {o.goal: o.percent for o in looked_at(publisher).clients if o.version == "1.0"}
    assert set(shares) == {None, "2.0"}
    assert sum(shares.values()) == 100
    assert 15 < shares["2.0"] < 45


def at(url: str, publisher: Publisher, root: bytes | None = None) -> Diagnosis:
    return diagnose_url(url, root, HttpTransport(QUICK), publisher.now)


def test_a_host_is_looked_at_as_a_folder_is(publisher: Publisher, url: str) -> None:
    publisher.release("1.0", {"f": BIG})
    publisher.release("2.0", {"f": BIG, "n": b"2"})
    rotate(publisher.repository(), "online")
    here, there = looked_at(publisher), at(f"{url}/", publisher, publisher.root)
    assert there == replace(here, unreferenced=()), "what nobody asks for cannot be asked for"
    require_health(there)


def test_files_that_a_host_lacks_or_cut_short_are_named(publisher: Publisher, url: str) -> None:
    publisher.release("1.0", {"f": BIG})
    folder = publisher.folder / "targets/notes/releases/1.0"
    (bundle,), (manifest,) = folder.glob("*.bundle"), folder.glob("*.manifest")
    bundle.unlink()
    manifest.write_bytes(manifest.read_bytes()[:-1])
    names = {path.relative_to(publisher.folder).as_posix() for path in (bundle, manifest)}
    assert set(at(url, publisher).faults.missing) == names


def test_a_host_with_the_repository_of_somebody_else_is_refused(
    publisher: Publisher, url: str, tmp_path: Path
) -> None:
    publisher.release("1.0", ONE)
    other = Publisher(tmp_path / "other")
    found = at(url, publisher, other.root)
    assert found.clients == ()
    with pytest.raises(TrustError, match="clients refuse it"):
        require_health(found)


def test_a_host_whose_metadata_is_expired_or_unsigned_is_told(
    publisher: Publisher, url: str
) -> None:
    publisher.release("1.0", ONE)
    rewrite(newest(publisher, "app.notes"), lambda _: None)
    publisher.now += 8 * DAY
    found = at(url, publisher)
    assert (found.expired, found.unsigned) == (("timestamp",), ("app.notes",))


@pytest.mark.parametrize("name", ["../../evil.json", "/tmp/evil.json", "root.json", "app.A.json"])
def test_a_host_that_lists_strange_names_writes_nothing_elsewhere(
    name: str, publisher: Publisher, url: str, tmp_path: Path
) -> None:
    def list_it(metadata: Metadata[Any]) -> None:
        metadata.signed.meta[name] = MetaFile(1)

    publisher.release("1.0", ONE)
    rewrite(newest(publisher, "snapshot"), list_it, right_signer(publisher, "snapshot"))
    with pytest.raises(FormatError, match="does not list"):
        at(url, publisher)


def test_a_host_that_gives_no_end_of_metadata_is_left(publisher: Publisher, url: str) -> None:
    publisher.release("1.0", ONE)
    (publisher.folder / "metadata/timestamp.json").write_bytes(b" " * (METADATA_MOST + 1))
    with pytest.raises(FormatError, match="more than"):
        at(url, publisher)


def test_a_host_that_lists_no_end_of_roles_is_left(
    publisher: Publisher, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is small enough, and nobody has said yet that it is signed."""
    publisher.release("1.0", ONE)
    total = sum(path.stat().st_size for path in (publisher.folder / "metadata").iterdir())
    monkeypatch.setattr("patchtool.server.mirror.TOTAL_MOST", total // 2)
    with pytest.raises(FormatError, match="more than"):
        at(url, publisher)


def test_the_command_takes_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(tmp_path, now=int(time.time()))
    publisher.release("1.0", ONE)
    root = tmp_path / "root.json"
    root.write_bytes(publisher.root)
    with served(publisher.folder) as url:
        assert main(["doctor", url, "--root", str(root)]) == 0
        assert "notes stable: a new install -> 1.0 by bundle" in capsys.readouterr().out
        assert main(["doctor", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["clients"][0]["goal"] == "1.0"
        assert main(["doctor", f"{url}/nothing"]) == 3
        assert main(["doctor", url, "--root", str(tmp_path / "none")]) == 7


@pytest.mark.parametrize("role", ["root", "targets", "app.notes", "channels.notes", "snapshot"])
@pytest.mark.parametrize("damage", ["gone", "garbage", "a folder"])
def test_metadata_that_is_gone_or_damaged_is_no_matter_of_soon(
    role: str, damage: str, publisher: Publisher
) -> None:
    publisher.release("1.0", ONE)
    path = newest(publisher, role)
    path.unlink()
    if damage == "garbage":
        path.write_bytes(b"junk")
    elif damage == "a folder":
        path.mkdir()
    with pytest.raises(TrustError, match="clients cannot use this repository") as caught:
        looked_at(publisher)
    assert "backup" in caught.value.hint


def test_what_only_this_machine_cannot_read_is_no_damage(publisher: Publisher) -> None:
    (publisher.folder / ".writer.json").mkdir()
    with pytest.raises(MachineError, match=r"^reading .*writer\.json"):
        looked_at(publisher)


def test_a_folder_that_is_no_repository_is_not_called_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="is not a repository"):
        diagnose(tmp_path, 0)


@pytest.mark.parametrize(
    "name", ["x.root.json", "0002.root.json", "old.targets.json", "+9.root.json"]
)
def test_files_that_others_left_beside_metadata_harm_nobody(
    name: str, publisher: Publisher
) -> None:
    (publisher.folder / "metadata" / name).write_bytes(b"junk")
    publisher.release("1.0", ONE)
    rotate(publisher.repository(), "release")
    require_health(looked_at(publisher))
