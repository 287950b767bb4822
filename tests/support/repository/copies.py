"""Copies of a repository."""

from __future__ import annotations

from pathlib import Path

from patchtool.repository.repository_folder import RepositoryFolder
from patchtool.upkeep.sync import Synced, sync

from tests.support.repository.publisher import Publisher
from updater.disk.durable import Disk


def synced(publisher: Publisher, dest: Path, disk: Disk | None = None) -> Synced:
    copy = RepositoryFolder(dest, publisher.now, disk)
    return sync(publisher.repository(), copy)
