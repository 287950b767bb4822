"""Add and remove apps, of which one repository hosts several.

Whoever steals the release key of one app can sign for that app only. Each app has two roles of its
own, which the targets key delegates. What a role may sign is bound to the app's name, so nothing
that the key of one app signs counts for another.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patchtool.keys.root_documents import PublicKey
from patchtool.repository.repository import Repository
from updater.errors import InstallError, RequestError
from updater.format.names import check_app


@dataclass(frozen=True)
class AppAdded:
    """An app that was added."""

    app: str
    key: str
    """The id of its release key."""
    made: Path | None
    """The file of that key if it was made now."""


def add_app(repository: Repository, app: str) -> AppAdded:
    """Let a repository host ``app`` too.

    A release key at hand for it, ``release.APP.pem``, that the repository has never named is its
    key; else one is made.

    Args:
        repository: its lock is taken.
        app: the new app.

    Raises:
        FormatError: ``app`` is no name of an app.
        InstallError: it is there, a key is missing, or the disk. Clients see what they saw
            before; a new key file may be there, and is used when the command is run again.
    """
    repository.require()
    repository.refuse_others()
    _refuse_known(repository, app)
    key, made = _key(repository, app)
    with repository.writing():
        _refuse_known(repository, app)
        repository.add_app(app, key)
    return AppAdded(app, key.keyid, made)


def _refuse_known(repository: Repository, app: str) -> None:
    if check_app(app) in repository.look().apps():
        raise RequestError(f"{app} is there already", hint="publish it: patchtool add-release")
    repository.require_keys(["targets", "timestamp"])


def _key(repository: Repository, app: str) -> tuple[PublicKey, Path | None]:
    """The release key of a new app, and its file if it is made now."""
    named = repository.ever_named()
    held = (signer.public_key for signer in repository.keyring.at_hand("release", app))
    ready = next((key for key in held if key.keyid not in named), None)
    if ready is not None:
        return ready, None
    signer, made = repository.keyring.make("release", app)
    return signer.public_key, made


def remove_app(repository: Repository, app: str) -> list[Path]:
    """Host ``app`` no more; the files of its release keys, renamed because they sign nothing.

    Its installs go on working and learn that it is published no more. Its files stay until
    they are pruned. It may be added again later, with another key.

    Args:
        repository: its lock is taken.
        app: the app that ends.

    Raises:
        InstallError: it is not there or the last one, a key is missing, or the disk. Clients
            see what they saw before.
    """
    repository.open_keys("targets", "timestamp")
    with repository.writing():
        apps = repository.look().apps()
        if app not in apps:
            raise RequestError(
                f"the repository does not know {app}", hint=f"it hosts {', '.join(apps)}"
            )
        if apps == [app]:
            raise RequestError(
                f"{app} is the only app", hint="serve the repository no more, or add another first"
            )
        ended = [key.keyid for key in repository.look().keys_of(f"app.{app}")]
        repository.remove_app(app)
        with suppress(InstallError):  # a key of somebody else; what counts is published
            return repository.keyring.retire("release", ended, app)
        return []
