"""Every error of the client, in branches, because a caller does different things.

::

    UpdaterError                what the caller does        exit code
    ├── TransportError          retry later                 3
    ├── TrustError              stop and alarm              4
    ├── FormatError             stop and report             5
    ├── PatchError              fall back to the bundle     6
    │   ├── NotWhole            (updater.stage.inspect)
    │   └── WrongTree           (updater.patch.apply)
    └── InstallError                                        7
        ├── RequestError        ask differently
        └── MachineError        tell the user
            ├── ApplicationRuns
            ├── CannotSpell
            ├── DamagedJournal
            ├── DamagedState
            ├── NotEnoughSpace
            ├── RollbackFailed
            └── UpdateInProgress

Messages are lower case without a final period, ready to stand behind ``error:``;
``hint`` says what to do and stands behind ``hint:``. Misuse of the Python API is
``ValueError`` or ``RuntimeError``, never one of these.

patchtool and patchserver raise these too, and a few narrower ones that only they catch, each beside
what raises it: `patchtool.repository.repository.NotNext`, `patchtool.server.server_client.Behind`,
`patchserver.accounts.users.Crowded`, `patchserver.publishing.pushes` (``UnknownPush``, ``TooMany``,
``Incomplete``), `patchserver.publishing.uploads` (``WrongOffset``, ``WrongDigest``) and
`patchserver.web.api.Malformed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

CAUSES_MOST = 100
"""Causes of one error that are looked at; no error of ours has more than five."""


class UpdaterError(Exception):
    """Base of all errors that are not a programming mistake."""

    exit_code: ClassVar[int] = 1
    retryable: bool = False
    rolled_back: bool = False
    """True if a commit was begun and undone: the old version is back, whole."""

    def __init__(self, message: str, *, hint: str = "", retryable: bool | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable


class TransportError(UpdaterError):
    """The network or the server's fault: nothing was learned, trying again may help."""

    exit_code = 3
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool | None = None,
        status: int | None = None,
    ) -> None:
        """``status`` is the HTTP status, if there was an answer."""
        super().__init__(message, hint=hint, retryable=retryable)
        self.status = status


class TrustError(UpdaterError):
    """The publisher's signatures do not hold: an attack, an expiry or a broken repository."""

    exit_code = 4


class FormatError(UpdaterError):
    """A document is not what our format allows; its author is at fault.

    ``context`` locates the fault inside the document, e.g. ``changes[3].path``; it is
    built while unwinding by :meth:`within`.
    """

    exit_code = 5

    def __init__(self, message: str, *, context: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.context = context

    def within(self, outer: str) -> FormatError:
        """The same error, located in the enclosing element ``outer``."""
        dot = "" if not self.context or self.context.startswith("[") else "."
        context = f"{outer}{dot}{self.context}"
        return type(self)(self.args[0], context=context, hint=self.hint)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.context}: {message}" if self.context else message


class PatchError(UpdaterError):
    """This patch does not fit here (wrong base, wrong result): another way may."""

    exit_code = 6


class InstallError(UpdaterError):
    """The base of the errors of this machine and of requests to it; never raised itself."""

    exit_code = 7


class RequestError(InstallError):
    """The request is wrong: no such app or channel, a name that is taken, a key that is missing."""


class MachineError(InstallError):
    """This machine or this install is in the way: disk, permission, lock, damaged State."""


class NotEnoughSpace(MachineError):  # noqa: N818 - reads as what the user is told
    """The disk cannot hold the update; found before anything live was touched if possible."""


class DamagedState(MachineError):  # noqa: N818 - reads as what the user is told
    """The State is damaged: trying again does not help."""


class DamagedJournal(MachineError):  # noqa: N818 - reads as what the user is told
    """A journal says nothing any more: the disk, or somebody, has changed it."""


class CannotSpell(MachineError):  # noqa: N818 - reads as what the user is told
    """A name of the release has no spelling in the encoding of this process."""


class UpdateInProgress(MachineError):  # noqa: N818 - reads as what the user is told
    """Another process holds the install's lock."""

    retryable = True


class ApplicationRuns(MachineError):  # noqa: N818 - reads as what the user is told
    """Other processes of the application run: nothing can be put in place under them."""

    retryable = True


class RollbackFailed(MachineError):  # noqa: N818 - reads as what the user is told
    """Undoing failed too; the message says what lies where. ``recover`` may be run again."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what caused it, and so on; ends also where somebody closed the circle."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen and len(seen) < CAUSES_MOST:
        yield following
        seen.append(following)
        following = following.__cause__ or following.__context__
