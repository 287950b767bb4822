"""Rollouts: reports of installs about a version, and the halt if too many failed.

Whoever wants to halt a rollout can report failures that never were: reports are not signed, and
cannot be. So the installs of one network count only so often, and what is halted can be resumed in
one step; reports from before count no more.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from patchserver.accounts.audit import BEGUN, DONE, SERVER, Actor, Audit
from patchserver.database.engine import Database
from patchserver.database.tables import Event, Failure, Halt, Install, Policy
from patchserver.publishing.signer import OnlineSigner, heads_of
from updater.errors import RequestError
from updater.format.head import EVERYONE, Head, RolloutStep

THRESHOLD = 500
"""Basis points of failures above which a rollout halts, if nobody says otherwise."""
SAMPLE = 20
"""Installs that must have reported before anything is judged."""
ORIGIN_MOST = 5
"""Installs of one network that count."""
MACHINE = (
    "MachineError",
    "RequestError",
    "NotEnoughSpace",
    "UpdateInProgress",
    "OSError",
    "PermissionError",
)
"""Errors of a machine, such as a full disk: they say nothing against a version."""
DECIDING = ("stage", "commit", "confirm")
"""Steps at which a version shows what it is worth; before, it is the network that fails."""
RESUME = "resume"


@dataclass(frozen=True)
class Rule:
    """The rule by which a rollout halts by itself."""

    threshold: int = THRESHOLD
    """Basis points of failed installs among those that reported."""
    sample: int = SAMPLE

    def check(self) -> Rule:
        """Itself.

        Raises:
            InstallError: it makes no sense.
        """
        if not (0 <= self.threshold <= EVERYONE and 1 <= self.sample <= 1_000_000):
            raise RequestError(
                f"no rule: {self.threshold} of 10,000, sample {self.sample}",
                hint="a threshold from 0 to 100 %, a sample from 1 to 1,000,000",
            )
        return self


@dataclass(frozen=True)
class Evidence:
    """The reports of installs about a version."""

    succeeded: int
    failed: int

    @property
    def sample(self) -> int:
        """Installs that reported."""
        return self.succeeded + self.failed

    @property
    def rate(self) -> int:
        """Failures, in basis points."""
        return self.failed * EVERYONE // self.sample if self.sample else 0

    def halts(self, rule: Rule) -> bool:
        """Return whether a rollout that showed this is to be halted."""
        return self.sample >= rule.sample and self.failed * EVERYONE > rule.threshold * self.sample


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of one repository: who changes them, and what is known of them."""

    database: Database
    audit: Audit
    signer: OnlineSigner

    def promote(
        self, actor: Actor, app: str, channel: str, version: str, steps: Sequence[RolloutStep] = ()
    ) -> Head:
        """Offer a version; see `patchtool.release.rollout.promote`."""
        with self.audit.change(actor, "promote", app, f"{channel} {version}", self._now()):
            return self.signer.promote(app, channel, version, steps)

    def pause(self, actor: Actor, app: str, channel: str, version: str) -> Head:
        """Offer a version to nobody for now.

        Raises:
            InstallError: the channel does not offer it, or the disk.
        """
        with self.audit.change(actor, "pause", app, f"{channel} {version}", self._now()):
            return self.signer.pause(app, channel, version) or self.signer.heads(app)[channel]

    def resume(self, actor: Actor, app: str, channel: str, version: str) -> Head:
        """Go on with a version; reports about it so far count no more.

        Raises:
            InstallError: the channel does not offer it, or the disk.
        """
        with self.audit.change(actor, RESUME, app, f"{channel} {version}", self._now()):
            self._forgive(app, channel, version)
            return self.signer.resume(app, channel, version) or self.signer.heads(app)[channel]

    def set_rule(self, actor: Actor, app: str, channel: str, rule: Rule) -> None:
        """Say when a channel's rollouts halt.

        Raises:
            InstallError: the rule makes no sense, or the database.
        """
        checked = rule.check()
        subject = f"{channel} {checked.threshold / 100:g} % of {checked.sample}"
        with (
            self.audit.change(actor, "rule", app, subject, self._now()),
            self.database.writing() as session,
        ):
            session.merge(Policy(app=app, channel=channel, **vars(checked)))

    def rule(self, app: str, channel: str) -> Rule:
        """The rule by which a channel's rollouts halt."""
        with self.database.reading() as session:
            policy = session.get(Policy, (app, channel))
        return Rule(policy.threshold, policy.sample) if policy else Rule()

    def evidence(self, head: Head, version: str) -> Evidence:
        """Count the reports about a version on a channel since it was offered, or resumed."""
        offer = next(o for o in head.entries if o.version == version)
        with self.database.reading() as session:
            since = _since(session, head, version, offer.steps[0].utc)
            failed = _failed(head, version, since)
            return Evidence(
                _count(session, _succeeded(head, version, since, failed)), _count(session, failed)
            )

    def halts(self, app: str, channel: str) -> Sequence[Halt]:
        """The halts of a channel, newest first."""
        with self.database.reading() as session:
            found = select(Halt).where(Halt.app == app, Halt.channel == channel)
            return session.scalars(found.order_by(Halt.time.desc())).all()

    def judge(self) -> list[Halt]:
        """Halt the rollouts of all apps in which too many installs failed; return the halts.

        Raises:
            InstallError: the database, the online key, or the disk.
        """
        seen = self.signer.look()
        heads = [head for app in seen.apps() for head in heads_of(seen, app).values()]
        found = [self._judge(head) for head in heads]
        return [halt for halt in found if halt is not None]

    def _judge(self, head: Head) -> Halt | None:
        """Only the newest version is judged: below it is what its installs go back to."""
        newest = head.entries[0] if head.entries else None
        if newest is None or newest.paused or newest.reach(self._now()) == 0:
            return None
        rule, evidence = self.rule(head.app, head.channel), self.evidence(head, newest.version)
        if not evidence.halts(rule):
            return None
        return self._halt(head, newest.version, rule, evidence)

    def _halt(self, head: Head, version: str, rule: Rule, evidence: Evidence) -> Halt | None:
        halt = Halt(
            id=secrets.token_hex(16),
            app=head.app,
            channel=head.channel,
            version=version,
            time=self._now(),
            succeeded=evidence.succeeded,
            failed=evidence.failed,
            threshold=rule.threshold,
            sample=rule.sample,
        )
        subject = f"{head.channel} {version}: {evidence.failed} of {evidence.sample} failed"
        with self.audit.change(SERVER, "halt", head.app, subject, self._now()):
            if self.signer.pause(head.app, head.channel, version) is None:
                return None  # another process was faster
            with self.database.writing() as session:
                session.add(halt)
        return halt

    def _forgive(self, app: str, channel: str, version: str) -> None:
        with self.database.writing() as session:
            found = select(Halt).where(
                Halt.app == app, Halt.channel == channel, Halt.version == version
            )
            for halt in session.scalars(found):
                halt.resumed = halt.resumed or self._now()

    def _now(self) -> int:
        return self.signer.clock()


def _since(session: Session, head: Head, version: str, offered: int) -> int:
    """The time of the last resume: reports from before it count no more."""
    resumed = select(func.max(Event.time)).where(
        Event.app == head.app,
        Event.action == RESUME,
        Event.subject == f"{head.channel} {version}",
        Event.outcome.in_((BEGUN, DONE)),
    )
    return max(offered, (session.scalar(resumed) or 0) + 1)


def _failed(head: Head, version: str, since: int) -> Select[str, str]:
    return (
        select(Failure.install, Failure.origin)
        .where(
            Failure.app == head.app,
            Failure.channel == head.channel,
            Failure.new == version,
            Failure.received >= since,
            Failure.step.in_(DECIDING),
            (Failure.step == "confirm") | Failure.kind.not_in(MACHINE),
        )
        .distinct()
    )


def _succeeded(head: Head, version: str, since: int, failed: Select[str, str]) -> Select[str, str]:
    return select(Install.install, Install.origin).where(
        Install.app == head.app,
        Install.channel == head.channel,
        Install.version == version,
        Install.since >= since,
        Install.state == "clean",
        Install.install.not_in(select(failed.subquery().c.install)),
    )


def _count(session: Session, installs: Select[str, str]) -> int:
    """Installs, of one network only so many."""
    found = installs.subquery()
    by_origin = select(func.count(found.c.install.distinct())).group_by(found.c.origin)
    return sum(min(count, ORIGIN_MOST) for count in session.scalars(by_origin))
