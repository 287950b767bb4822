"""All faults that can be put back."""

from __future__ import annotations

from worlds.fault import Fault
from worlds.faults_client import CLIENT_FAULTS
from worlds.faults_publisher import PUBLISHER_FAULTS

FAULTS: tuple[Fault, ...] = (*CLIENT_FAULTS, *PUBLISHER_FAULTS)
