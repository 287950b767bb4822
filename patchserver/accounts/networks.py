"""Networks: the network that an address belongs to. Pure."""

from __future__ import annotations

import ipaddress


def network_of(address: str, bits: int, bits_of_six: int) -> str:
    """The network of an address; what is no address stands for itself.

    Args:
        address: as the server or its proxy names it. A socket for both versions names one of
            version 4 as one of version 6 (``::ffff:192.0.2.7``): it is the one of version 4.
        bits: that make a network of version 4.
        bits_of_six: and of version 6.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    length = bits if found.version == 4 else bits_of_six
    return str(ipaddress.ip_network((found, length), strict=False))
