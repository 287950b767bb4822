"""What clients see of a repository."""

from __future__ import annotations

from pathlib import Path

from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.snapshot import Snapshot

from tests.support.repository.publisher import NOW
from updater.check.catalogue import Catalogue, PatchTarget, SignedTarget
from updater.check.trust import Trust
from updater.disk.durable import PART
from updater.patch.apply import digest_of


def look(repository: Path, memory: Path, root: bytes, now: int = NOW) -> Catalogue:
    """What a client that remembers ``memory`` sees of a repository."""
    transport = SnapshotTransport(Snapshot.read(repository))
    trust = Trust(memory, URL, root, transport, seen=memory / "seen")
    return trust.refresh("notes", "stable", now)


def offered(repository: Path, catalogue: Catalogue) -> set[str]:
    """Versions in the catalogue, every file of which is there, whole."""
    signed: list[SignedTarget | PatchTarget] = [r.manifest for r in catalogue.releases.values()]
    signed += [r.bundle for r in catalogue.releases.values() if r.bundle is not None]
    signed += catalogue.patches.values()
    for target in signed:
        place = repository / target.url.removeprefix(f"{URL}/")
        assert place.stat().st_size == target.length
        assert digest_of(place) == target.digest
    return set(catalogue.releases)


def files(folder: Path) -> dict[str, bytes]:
    """Every published file; not what a killed command left, nor the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and path.suffix != PART
    }
