"""Owns what is kept of where a request came from: the network, and no one's address. Pure."""

from __future__ import annotations

import ipaddress

_BITS = {4: 24, 6: 48}


def network_of(address: str) -> str:
    """The IPv4 /24 or IPv6 /48 of an address; empty for none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, _BITS[found.version]), strict=False))
