"""Rollouts: halted by what installs tell, by themselves, and only by what says something."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from patchserver.accounts.audit import Actor
from patchserver.accounts.users import Scope
from patchserver.publishing.signer import Date
from patchserver.rollouts.halting import ORIGIN_MOST, Evidence, Rule
from patchserver.rollouts.ingest import Ingest
from patchserver.run.jobs import Jobs
from tests.support.servers.pusher import Pusher
from tests.support.servers.served import Server, checkin, report
from tests.support.trees.trees import Tree
from updater.disk.lock import locked
from updater.errors import InstallError, TrustError
from updater.format.head import Head, RolloutStep
from updater.format.reports import CheckIn, FailureReport

ANNA = Actor("user anna")
EVERY: Mapping[str, str] = {}
TREES: dict[str, Tree] = {"1.0": {"app": b"one"}, "2.0": {"app": b"two"}}


@pytest.fixture
def server(server: Server) -> Server:
    """1.0 is everybody's; 2.0 is offered to one in ten."""
    pusher = Pusher(server, Scope.PUBLISH)
    for base, (version, tree) in enumerate(TREES.items(), start=1):
        assert pusher.push(server.add(version, tree), base).status_code == 200
    rollouts = server.services.rollouts
    rollouts.promote(ANNA, "notes", "stable", "1.0")
    rollouts.promote(ANNA, "notes", "stable", "2.0", [RolloutStep(server.clock.now, 1000)])
    return server


def address(number: int) -> str:
    """Every install in a network of its own."""
    return f"10.{number // 256}.{number % 256}.1"


def tell(
    server: Server, *, good: int = 0, bad: int = 0, at: str = "", changes: Mapping[str, str] = EVERY
) -> None:
    """Installs tell how 2.0 is: 0, 1, ... fail, and 1000, 1001, ... do not."""
    ingest: Ingest = server.services.ingest
    for number in range(bad):
        message = FailureReport.parse(report(number, **changes))
        ingest.report(message, at or address(number), server.clock.now)
    for number in range(1000, 1000 + good):
        message_in = CheckIn.parse(checkin(number, version="2.0"))
        ingest.checkin(message_in, at or address(number), server.clock.now)


def head(server: Server) -> Head:
    return server.services.signer.heads("notes")["stable"]


def is_halted(server: Server) -> bool:
    Jobs(server.services).work()
    return head(server).entries[0].paused


def test_a_version_that_fails_too_often_is_halted_and_the_last_one_stays(server: Server) -> None:
    tell(server, good=18, bad=2)
    assert is_halted(server)
    first, fallback = head(server).entries
    assert (first.version, first.paused) == ("2.0", True)
    assert (fallback.version, fallback.paused) == ("1.0", False)
    (halt,) = server.services.rollouts.halts("notes", "stable")
    assert (halt.version, halt.succeeded, halt.failed, halt.sample) == ("2.0", 18, 2, 20)
    event = server.services.audit.events(app="notes")[0]
    assert (event.actor, event.action, event.outcome) == ("server", "halt", "done")
    assert "2 of 20 failed" in event.subject


@pytest.mark.parametrize(("good", "bad"), [(0, 19), (19, 1), (100, 5), (0, 0), (30, 0)])
def test_few_failures_and_few_words_halt_nothing(server: Server, good: int, bad: int) -> None:
    tell(server, good=good, bad=bad)
    assert not is_halted(server)


def test_one_failure_in_many_is_more_than_the_rule_of_nobody(server: Server) -> None:
    server.services.rollouts.set_rule(ANNA, "notes", "stable", Rule(threshold=0, sample=10))
    tell(server, good=50, bad=1)
    assert is_halted(server)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "fetch", "error": "TransportError: reset"},
        {"step": "check", "error": "TrustError: expired"},
        {"step": "commit", "error": "NotEnoughSpace: ENOSPC"},
        {"step": "stage", "error": "MachineError: EACCES"},
        {"to": "1.0"},
        {"channel": "beta"},
    ],
)
def test_a_fault_of_the_network_or_the_machine_says_nothing_of_a_version(
    server: Server, changes: dict[str, str]
) -> None:
    tell(server, bad=50, changes=changes)
    assert not is_halted(server)


def test_one_network_does_not_halt_a_rollout_alone(server: Server) -> None:
    tell(server, bad=1000, at="192.0.2.7")
    evidence = server.services.rollouts.evidence(head(server), "2.0")
    assert evidence == Evidence(0, ORIGIN_MOST)
    assert not is_halted(server)


def test_a_household_does_not_halt_a_rollout_from_its_many_networks(server: Server) -> None:
    for number in range(40):
        message = FailureReport.parse(report(number))
        server.services.ingest.report(message, f"2001:db8:7:{number:x}::1", server.clock.now)
    assert server.services.rollouts.evidence(head(server), "2.0") == Evidence(0, ORIGIN_MOST)


def test_addresses_of_version_4_that_are_written_as_version_6_are_not_one_network(
    server: Server,
) -> None:
    for number in range(ORIGIN_MOST + 2):
        message = FailureReport.parse(report(number))
        server.services.ingest.report(message, f"::ffff:10.0.{number}.1", server.clock.now)
    assert server.services.rollouts.evidence(head(server), "2.0").failed == ORIGIN_MOST + 2


def test_an_install_that_fails_again_and_again_counts_once(server: Server) -> None:
    for _ in range(50):
        tell(server, bad=1)
    assert server.services.rollouts.evidence(head(server), "2.0") == Evidence(0, 1)


def test_an_install_that_failed_has_not_succeeded(server: Server) -> None:
    tell(server, bad=3)
    for number in range(3):
        message = CheckIn.parse(checkin(number, version="2.0"))
        server.services.ingest.checkin(message, address(number), server.clock.now)
    assert server.services.rollouts.evidence(head(server), "2.0") == Evidence(0, 3)


def test_an_install_that_is_not_confirmed_has_not_succeeded(server: Server) -> None:
    for number in range(30):
        message = CheckIn.parse(checkin(number, version="2.0", state="unconfirmed"))
        server.services.ingest.checkin(message, address(number), server.clock.now)
    assert server.services.rollouts.evidence(head(server), "2.0") == Evidence(0, 0)


def test_who_resumes_is_not_halted_by_what_was_told_before(server: Server) -> None:
    tell(server, bad=20)
    assert is_halted(server)
    server.clock.now += 100
    server.services.rollouts.resume(ANNA, "notes", "stable", "2.0")
    assert not is_halted(server)
    server.clock.now += 100
    tell(server, bad=20)
    assert is_halted(server)
    assert len(server.services.rollouts.halts("notes", "stable")) == 2


def test_who_pauses_by_hand_and_resumes_is_not_halted_by_what_was_told_before(
    server: Server,
) -> None:
    server.services.rollouts.pause(ANNA, "notes", "stable", "2.0")
    tell(server, bad=20)
    server.services.rollouts.resume(ANNA, "notes", "stable", "2.0")
    assert not is_halted(server)
    server.clock.now += 100
    tell(server, bad=20)
    assert is_halted(server)


def test_what_is_not_offered_yet_and_what_is_paused_is_not_judged(server: Server) -> None:
    server.services.rollouts.pause(ANNA, "notes", "stable", "2.0")
    tell(server, bad=50)
    Jobs(server.services).work()
    assert server.services.rollouts.halts("notes", "stable") == []


def test_a_ramp_goes_on_by_itself_and_stops_where_it_is_halted(server: Server) -> None:
    now = server.clock.now
    steps = [RolloutStep(now + 60, 5000), RolloutStep(now + 120, 10_000)]
    server.services.rollouts.promote(ANNA, "notes", "stable", "2.0", steps)
    assert [head(server).entries[0].reach(now + at) for at in (0, 60, 120)] == [1000, 5000, 10_000]
    server.clock.now += 90
    tell(server, bad=20)
    assert is_halted(server)
    assert head(server).choose("any", now + 200, floor="1.0", excluded=lambda _: False) == "1.0"


@pytest.mark.parametrize("rule", [Rule(-1, 5), Rule(10_001, 5), Rule(5, 0), Rule(5, 10**9)])
def test_a_rule_that_makes_no_sense_is_refused(server: Server, rule: Rule) -> None:
    with pytest.raises(InstallError):
        server.services.rollouts.set_rule(ANNA, "notes", "stable", rule)
    assert server.services.rollouts.rule("notes", "stable") == Rule()


@pytest.mark.parametrize(
    ("channel", "version"), [("%00", "2.0"), ("stable", "2.0\0"), ("a%0Ab", "2.0"), ("x", "\n")]
)
def test_what_is_no_name_is_refused_before_it_is_written_down(
    server: Server, channel: str, version: str
) -> None:
    headers, before = server.token(Scope.PROMOTE), len(server.services.audit.events())
    for verb in ("promote", "pause", "resume"):
        path = f"/api/v1/apps/notes/channels/{channel}/{verb}"
        answer = server.client.post(path, json={"version": version}, headers=headers)
        assert answer.status_code == 422, answer.text
    assert len(server.services.audit.events()) == before


def test_what_expires_is_signed_by_the_server_itself(server: Server) -> None:
    before = server.services.signer.due()
    assert before == []
    server.clock.now += 6 * 86_400
    assert [standing.role for standing in server.services.signer.due()] == ["timestamp"]
    Jobs(server.services).work()
    assert server.services.signer.due() == []
    server.services.signer.remember()
    assert server.services.audit.events()[0].action == "sign"


def test_a_clock_that_was_ahead_for_a_while_ends_no_job(server: Server) -> None:
    jobs = Jobs(server.services)
    server.clock.now += 20 * 86_400
    jobs.work()
    server.clock.now -= 20 * 86_400
    tell(server, bad=20)
    jobs.work()
    assert head(server).entries[0].paused
    server.clock.now += 60
    server.services.rollouts.resume(ANNA, "notes", "stable", "2.0")


def test_a_clock_far_ahead_signs_nothing_until_somebody_says_the_date(server: Server) -> None:
    signer, jobs = server.services.signer, Jobs(server.services)
    before = signer.timestamp()
    server.clock.now += 400 * 86_400
    jobs.work()
    with pytest.raises(InstallError, match="400 days after the last signature"):
        server.services.rollouts.pause(ANNA, "notes", "stable", "2.0")
    assert signer.timestamp() == before
    day = time.strftime("%Y-%m-%d", time.gmtime(server.clock.now))
    (missing,) = signer.refresh(said=Date.parse(day)).missing
    assert missing.role == "app.notes"
    assert signer.timestamp() != before


@pytest.mark.parametrize("days", [366, 800])
def test_an_app_whose_releases_have_expired_keeps_nothing_from_being_signed(
    days: int, server: Server
) -> None:
    """Another app must not wait for its release key; nor for those of the root and the targets."""
    signer, rollouts = server.services.signer, server.services.rollouts
    server.clock.now += days * 86_400
    day = time.strftime("%Y-%m-%d", time.gmtime(server.clock.now))
    signer.refresh(said=Date.parse(day))
    rollouts.pause(ANNA, "notes", "stable", "2.0")
    assert head(server).entries[0].paused
    rollouts.resume(ANNA, "notes", "stable", "2.0")
    Jobs(server.services).work()
    assert signer.due() == []


def test_a_repository_of_before_is_noticed_though_an_app_has_expired(
    server: Server, tmp_path: Path
) -> None:
    signer = server.services.signer
    shutil.copytree(signer.folder, tmp_path / "backup")
    signer.refresh(at_least=9)
    server.clock.now += 370 * 86_400
    shutil.rmtree(signer.folder)
    shutil.copytree(tmp_path / "backup", signer.folder)
    with pytest.raises(TrustError, match="clients that know this server refuse it"):
        signer.remember()


def test_a_clock_that_was_ahead_is_forgotten_by_the_next_signature(server: Server) -> None:
    signer, right = server.services.signer, server.clock.now
    server.clock.now += 20 * 86_400
    signer.promote("notes", "stable", "2.0")
    server.clock.now = right
    assert "20 days before the last signature" in signer.doubt()
    signer.promote("notes", "stable", "2.0")
    assert signer.doubt() == ""
    assert head(server).issued == right


def test_a_job_that_fails_keeps_no_other_from_being_done(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InstallError("the disk does not want")

    monkeypatch.setattr("patchserver.rollouts.halting.Rollouts.judge", fail)
    server.clock.now += 6 * 86_400
    Jobs(server.services).work()
    assert server.services.signer.due() == []


def test_of_several_processes_one_works_and_another_takes_over(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchserver.run.jobs.JUDGING", 0.05)
    worked = threading.Event()
    monkeypatch.setattr("patchserver.run.jobs.Jobs.work", lambda _: worked.set())
    stop = threading.Event()
    thread = threading.Thread(target=Jobs(server.services).run, args=(stop,))
    with locked(server.services.jobs_lock, "another process"):
        thread.start()
        assert not worked.wait(0.5)
    assert worked.wait(20)
    stop.set()
    thread.join()
