"""Retries: how often a transfer is tried, and how long is waited between two tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses of a server that may answer better the next time."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """The patience of one side with the other."""

    attempts: int = 4
    """Tries of one transfer before the error is raised; resumed, not restarted."""
    backoff: float = 0.5
    """Seconds before the second try; doubled each time."""
    backoff_limit: float = 20.0
    """Longest wait between two tries, also when a server's Retry-After asks for more."""

    def wait(self, failed: int, retry_after: str = "") -> float:
        """Seconds to wait after so many failed tries, and no less than the server asks for."""
        least = max(self.backoff * 2.0 ** (failed - 1), seconds_of(retry_after))
        return min(least, self.backoff_limit)


def seconds_of(retry_after: str) -> int:
    """The seconds that a Retry-After header asks for; 0 if it names none."""
    return int(retry_after[:9]) if retry_after.isascii() and retry_after.isdecimal() else 0


class Tries:
    """The tries of one transfer, counted; waits before every one but the first."""

    def __init__(self, policy: RetryPolicy, sleep: Callable[[float], None]) -> None:
        self._policy = policy
        self._sleep = sleep
        self.number = 0
        """The number of the last try that was begun, from 1 on."""

    @property
    def is_last(self) -> bool:
        """True if no other try follows this one."""
        return self.number >= self._policy.attempts

    def begin(self, *, afresh: bool = False, retry_after: str = "") -> None:
        """Begin the next try.

        Args:
            afresh: the last one brought something, so that this one counts as the first.
            retry_after: the header of that name that the server sent last.
        """
        self.number = 1 if afresh else self.number + 1
        if self.number > 1:
            self._sleep(self._policy.wait(self.number - 1, retry_after))
