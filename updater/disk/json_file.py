"""Small JSON documents in the State, for code that must do without the format modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from updater.errors import MachineError

MOST = 1 << 20
"""Bytes; the largest, ``install.json``, has a few kilobytes."""


def encode(document: dict[str, Any]) -> bytes:
    """The spelling of `updater.format.encoding.canonical`, which reads ``install.json`` again."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def read(path: Path) -> dict[str, Any] | None:
    """The document at ``path``; None if there is none.

    Raises:
        InstallError: it is damaged.
        OSError: the disk.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MOST))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise MachineError(f"{path} is damaged: {error}", hint=_HINT) from error
    if not isinstance(document, dict):
        raise MachineError(f"{path} is damaged: no JSON object", hint=_HINT)
    return document


_HINT = "run updater repair"
