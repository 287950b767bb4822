"""Every limit of every parser, in one place: size, count and depth, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of every parser; the same at build and at parse."""

    path_bytes: int = 1024
    """UTF-8 bytes of a path: what every desktop file system can hold below a user's folder."""
    name_bytes: int = 255
    """UTF-8 bytes of one part of a path: NAME_MAX."""
    manifest_bytes: int = 64 * MIB
    """Canonical bytes of a manifest, held in memory whole."""
    entries: int = 250_000
    """Entries of a manifest; about 2 kB of memory each while updating."""
    folders: int = 250_000
    """Folders entries stand in: a deep path implies hundreds, each held in memory by name."""
    file_bytes: int = 1 << 40
    """Bytes of one file: far above any release, far below integer trouble on disk."""
    names_bytes: int = 128 * MIB
    """Paths of one list of a patch header together, spelled out: all of two manifests."""
    release_bytes: int = 64 * KIB
    """Canonical bytes of a release description, notes included."""
    head_entries: int = 8
    """Versions a channel offers at once."""
    rollout_steps: int = 32
    """Steps of one version's rollout."""
    channels: int = 20
    """Channels of one app: each costs every client a line of metadata."""
    header_bytes: int = 16 * MIB
    """Bytes of a patch header, compressed and decompressed alike."""
    changes: int = 500_000
    """Changes of a patch: every old entry gone and every new one added."""
    blocks: int = 250_000
    """Blocks of a patch."""
    extents: int = 1_000_000
    """Extents of all blocks of a patch together."""
    block_new_bytes: int = 16 * MIB
    """New bytes of a block: bounds the decoder's memory whatever the release's size."""
    block_old_bytes: int = 16 * MIB
    """Old bytes a block reads, all its extents together."""
    block_packed_bytes: int = 17 * MIB
    """Compressed bytes of a block: incompressible content plus control numbers."""
    block_triples: int = 262_144
    """Control triples of a block, 24 bytes each for bsdiff4."""
    dictionary_bytes: int = 16 * MIB
    """LZMA2 dictionary: what the decoder allocates per block in flight."""
    view_factor: int = 8
    """A view may be this many times its file's size (decompression bombs)."""
    view_bytes: int = 2 * GIB
    """Scratch disk of one file's view."""
    recipe_bytes: int = 8 * MIB
    """Bytes of one view recipe."""


DEFAULT = Limits()
