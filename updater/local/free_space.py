"""Free disk: required before anything is downloaded."""

from __future__ import annotations

from updater.errors import NotEnoughSpace
from updater.launch.state import State
from updater.local.session import Session


def require_space(session: Session, state: State, needed: int) -> None:
    """Refuse what the disk of the State cannot hold.

    Raises:
        NotEnoughSpace: fewer than ``needed`` bytes and the reserve are free; nothing was changed.
    """
    wanted, free = needed + session.config.disk_reserve, session.disk.free_bytes(state.folder)
    if free < wanted:
        raise NotEnoughSpace(
            f"{wanted:,} bytes of free disk are needed, {free:,} are free",
            hint="free some disk space and try again; nothing was changed",
        )
