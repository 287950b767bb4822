"""Programs that worlds run: the oracles, a bad host, an application.

They are copied into each world, so they import the standard library and the product only.
"""

from __future__ import annotations

from pathlib import Path

PROGRAMS = Path(__file__).parent
