"""Jobs: the work that a server does by itself. Of several processes one does it.

Whoever holds the lock works; it is freed by the system when its holder dies, and then another one
takes it. A job that fails is logged and tried again, and keeps no other from being done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from patchserver.accounts.audit import SERVER
from patchserver.services import Services
from updater.disk.lock import locked
from updater.errors import UpdateInProgress, UpdaterError

JUDGING = 5
"""Seconds between two looks at the reports of installs."""
SIGNING = 600
"""Seconds between two looks at what expires."""
SWEEPING = 6 * 3600
"""Seconds between two times that what is old is dropped."""
ENDING = 5
"""Seconds a job is given to end when the server does."""
_log = logging.getLogger("patchserver.run.jobs")


@dataclass
class Jobs:
    """The jobs of one process."""

    services: Services
    _due: dict[str, int] = field(default_factory=dict)
    """The time at which each is to be done next."""

    def run(self, stop: threading.Event) -> None:
        """Work whenever nobody else does, until ``stop`` is set."""
        while not stop.wait(JUDGING):
            with suppress(UpdateInProgress, OSError), locked(self.services.jobs_lock, "working"):
                while not stop.is_set():
                    self.work()
                    stop.wait(JUDGING)

    def work(self) -> None:
        """Do what is due."""
        self._do("judge", JUDGING, self._judge)
        self._do("sign", SIGNING, self._sign)
        self._do("sweep", SWEEPING, self._sweep)
        self._do("clear", SWEEPING, self._clear)

    def _do(self, name: str, every: int, job: Callable[[], None]) -> None:
        now = self.services.clock()
        if now < self._due.get(name, 0) <= now + every:  # else the clock was ahead, and went back
            return
        self._due[name] = now + every
        try:
            job()
        except UpdaterError as error:
            _log.error("job %s: %s; %s", name, error, error.hint)
        except Exception:  # noqa: BLE001 - a fault in one must not end the others; it is logged
            _log.exception("job %s failed", name)

    def _judge(self) -> None:
        for halt in self.services.rollouts.judge():
            _log.warning(
                "%s %s: rollout of %s halted: %d of %d installs failed",
                halt.app,
                halt.channel,
                halt.version,
                halt.failed,
                halt.failed + halt.succeeded,
            )

    def _sign(self) -> None:
        """Sign anew what is due, and let the canary look at all of it."""
        signer, now = self.services.signer, self.services.clock()
        due = [status.role for status in signer.due()]
        if due:
            with self.services.audit.change(SERVER, "sign", "", ", ".join(due), now):
                signer.refresh()
        else:
            signer.remember()

    def _sweep(self) -> None:
        now = self.services.clock()
        self.services.pushes.sweep(now)
        self.services.ingest.sweep(now)

    def _clear(self) -> None:
        """Delete the files that no metadata has named for a month."""
        cleared = self.services.signer.clear()
        if cleared.deleted:
            count, freed = len(cleared.deleted), cleared.freed_bytes
            _log.info("%d files that nothing refers to deleted, %d bytes", count, freed)


def begin(services: Services | None) -> Callable[[], None]:
    """Do the jobs of ``services`` in a thread, until what is returned is called."""
    if services is None:
        return lambda: None
    stop = threading.Event()
    thread = threading.Thread(target=Jobs(services).run, args=(stop,), name="jobs", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(ENDING)

    return end
