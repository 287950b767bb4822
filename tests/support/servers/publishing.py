"""A program: what a server does when a push is published and offered. It is there to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from patchserver.accounts.audit import SERVER
from patchserver.ops.server_settings import settings_for
from patchserver.services import open_services


def main(repository: str, data: str, keys: str, push: str, version: str, now: str) -> None:
    """Publish ``push``, which is whole, and offer its version."""
    settings = settings_for(Path(repository), Path(data), Path(keys))
    services = open_services(settings, lambda: int(now))
    services.pushes.publish("notes", push)
    if services.signer.heads("notes")["stable"].entries[0].version != version:
        services.rollouts.promote(SERVER, "notes", "stable", version)
    services.database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
