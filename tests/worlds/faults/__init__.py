"""All faults that can be put back."""

from __future__ import annotations

from tests.worlds.faults.fault import Fault
from tests.worlds.faults.faults_client import CLIENT_FAULTS
from tests.worlds.faults.faults_publisher import PUBLISHER_FAULTS

FAULTS: tuple[Fault, ...] = (*CLIENT_FAULTS, *PUBLISHER_FAULTS)
