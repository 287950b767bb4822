"""Failure reports: written when an update fails, sent later."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from updater.errors import InstallError, RollbackFailed, TransportError, UpdaterError, causes
from updater.format.manifest import Manifest
from updater.launch.failure_report import Report
from updater.launch.state import State
from updater.local.session import Session
from updater.stage.inspect import damage

_LOGIN = re.compile(r"//[^/@\s]*@")


@contextmanager
def report_failure(
    session: Session, state: State, manifest: Manifest, new: str = ""
) -> Iterator[None]:
    """Queue a report if the body fails, unless trying again may help.

    Args:
        session: its disk is used.
        state: of the install.
        manifest: what is installed.
        new: the version that is wanted; empty while it is looked for.
    """
    try:
        yield
    except (UpdaterError, OSError) as error:
        if isinstance(error, OSError) or not error.retryable:
            with suppress(Exception):  # whatever is wrong with a report, the error counts
                _report(session, state, manifest, new, error).write(state)
        raise


def report_fallbacks(
    session: Session,
    state: State,
    manifest: Manifest,
    new: str,
    errors: Sequence[UpdaterError],
) -> None:
    """Queue a report of each route that failed though another led there; see `report_failure`.

    It says nothing against the version: whoever serves the files can repair it.
    """
    with suppress(Exception):  # what was done counts, whatever is wrong with a report
        for error in errors:
            report = _report(session, state, manifest, new, error)
            replace(report, step="fetch").write(state)


def _report(
    session: Session, state: State, manifest: Manifest, new: str, error: UpdaterError | OSError
) -> Report:
    step, kind = _step(error, new), type(error).__name__
    name = session.identities(state).read().name
    what = f"{name} {step} {kind} {manifest.version} {new}"
    return Report(
        identity=hashlib.sha256(what.encode()).hexdigest()[:32],
        step=step,
        error=f"{kind}: {_message(error)}",
        old=manifest.version,
        new=new,
        changed=damage(state, manifest),
    )


def _message(error: UpdaterError | OSError) -> str:
    """The error text of a report; a machine error's own text may name files of the user."""
    if isinstance(error, InstallError | OSError):
        return ", ".join(_codes(error)) or "this machine"
    return _LOGIN.sub("//", str(error))


def _codes(error: BaseException) -> Iterator[str]:
    """The operating system's words for an error and its causes, such as ENOSPC."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            yield errno.errorcode.get(cause.errno, str(cause.errno))


def _step(error: UpdaterError | OSError, new: str) -> str:
    if not new:
        return "check"
    if isinstance(error, UpdaterError) and (error.rolled_back or isinstance(error, RollbackFailed)):
        return "commit"
    return "fetch" if isinstance(error, TransportError) else "stage"
