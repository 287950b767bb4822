"""Try the routes to one version, the cheapest first, until one works. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from updater.check.catalogue import Catalogue
from updater.check.route import Route, find_route
from updater.errors import (
    FormatError,
    InstallError,
    PatchError,
    TransportError,
    TrustError,
    UpdaterError,
)

T = TypeVar("T")

OF_THE_CLIENT = {401, 407, 429}
"""HTTP statuses that say who asks may not, or not now: every other file is refused alike."""
TROUBLES_MOST = 3
"""Files that a server in trouble (such as 503) may refuse before it is left in peace."""


class Unusable(Exception):  # noqa: N818 - a state of one attempt, never seen outside
    """Targets that did not help, and why: another way may."""

    def __init__(self, targets: frozenset[str], reason: UpdaterError) -> None:
        super().__init__(str(reason))
        self.targets = targets
        self.reason = reason

    def after(self, first: UpdaterError) -> Unusable:
        """The error of a repair that failed, with ``first``, the damage it was for."""
        if not isinstance(self.reason, PatchError):
            return self
        return Unusable(self.targets, PatchError(f"{first}; {self.reason}", hint=self.reason.hint))


@contextmanager
def blaming(target: str) -> Iterator[None]:
    """Say of an error in the body that it is a fault of ``target``, and not of the way to it.

    Raises:
        Unusable: the target is not there, not what was signed, or cannot be applied.
        UpdaterError: the network or this machine; every other way would meet it too.
    """
    try:
        yield
    except Unusable as error:
        raise Unusable(error.targets | {target}, error.reason) from error
    except (PatchError, TransportError, TrustError, FormatError) as error:
        if isinstance(error, TransportError) and not _is_of_one_file(error):
            raise
        raise Unusable(frozenset({target}), error) from error


class Fallback:
    """The routes to a version. Each failure takes at least one target out, so that it ends."""

    def __init__(self, catalogue: Catalogue, installed: str | None, version: str) -> None:
        """``installed``: where to start; None to use bundles alone."""
        self.failed: list[UpdaterError] = []
        """The errors of the routes that were tried."""
        self._catalogue = catalogue
        self._installed = installed
        self._version = version
        self._without: frozenset[str] = frozenset()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of `failed` in words, each once."""
        return tuple(dict.fromkeys(map(str, self.failed)))

    def follow(self, attempt: Callable[[Route], T]) -> T:
        """Call ``attempt`` with one route after another, the cheapest first, until one works.

        Args:
            attempt: raises `Unusable` with a target of its route if that route does not help.

        Raises:
            UpdaterError: no way is left, with all the reasons; or as ``attempt``.
        """
        route = self._route()
        while True:
            try:
                return attempt(route)
            except Unusable as error:  # noqa: PERF203 - a failure is what the loop is for
                self.exclude(error)
                route = self._route()

    def exclude(self, error: Unusable) -> None:
        """Try no way again that needs what has failed."""
        self.failed.append(error.reason)
        self._without |= error.targets

    def _route(self) -> Route:
        if sum(map(_is_trouble, self.failed)) >= TROUBLES_MOST:
            raise self._all()
        try:
            return find_route(self._catalogue, self._installed, self._version, self._without)
        except InstallError as error:
            if not self.failed:
                raise
            raise self._all() from error

    def _all(self) -> UpdaterError:
        """One error for all of them: if waiting may help that counts, else the gravest."""
        first, *others = self.failed
        if not others:
            return first
        order = (TrustError, FormatError, TransportError, PatchError)
        reason = min(
            self.failed,
            key=lambda e: (not e.retryable, [isinstance(e, kind) for kind in order].index(True)),
        )
        kind = next(kind for kind in order if isinstance(reason, kind))
        hint = reason.hint or "tell the publisher of this release"
        error = kind(f"every way to {self._version} failed: {'; '.join(self.reasons)}", hint=hint)
        error.retryable = reason.retryable
        return error


def _is_of_one_file(error: TransportError) -> bool:
    """True if the server has answered, and its answer is about the file that was asked for."""
    return error.status is not None and error.status not in OF_THE_CLIENT


def _is_trouble(error: UpdaterError) -> bool:
    """True if the server itself has trouble."""
    return isinstance(error, TransportError) and error.status is not None and error.status >= 500
