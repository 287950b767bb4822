"""The published apps, as the pages show them: the repository as clients see it."""

from __future__ import annotations

from werkzeug.exceptions import NotFound

from patchserver.publishing.published_state import App, PublishedState
from patchserver.services import services


def published() -> PublishedState:
    """Read what clients see now.

    Raises:
        InstallError, FormatError: the repository cannot be read.
    """
    return services().published.look(services().signer)


def app_named(name: str) -> App:
    """An app that is hosted.

    Raises:
        NotFound: there is none of this name.
    """
    found = published().apps.get(name)
    if found is None:
        raise NotFound
    return found
