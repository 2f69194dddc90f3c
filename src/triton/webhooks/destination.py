"""Owns where a webhook may go: the address is looked up once, judged, and then connected to, and no other.

What a tenant names as its target must not reach what only this host reaches: loopback, private networks, the
cloud's metadata. A name is resolved here, and the request goes to the very address that was judged, so that a
second answer of the name server changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import httpx

from triton.errors import ForbiddenError, UnavailableError, ValidationError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Addresses of a host name at a port. Raises OSError.
Lookup: TypeAlias = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: What Pythons call global, or some of them, and is not: site-local (RFC 3879), local translation (RFC 8215),
#: segment routing (RFC 9602), documentation (RFC 9637).
_LOCAL = tuple(
    ipaddress.IPv6Network(one) for one in ("fec0::/10", "64:ff9b:1::/48", "5f00::/16", "3fff::/20")
)


class Destination(NamedTuple):
    """The URL to connect to, by its address; the name that the certificate must have, and the Host header."""

    url: httpx.URL
    name: str
    host: str


def look_up(name: str, port: int) -> list[str]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def destination_of(url: str, *, private: bool, lookup: Lookup = look_up) -> Destination:
    """Where to send. Raises ValidationError for what is no http(s) URL, ForbiddenError for an address that is
    not of the public internet (unless `private`), UnavailableError for a name that has none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValidationError(f"the target's URL is malformed: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise ValidationError("the target's URL is http(s)://host/path, without a user or password")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    try:
        addresses = lookup(parsed.host, port)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(f"{parsed.host} has no address: {error}") from error
    if not addresses:
        raise UnavailableError(f"{parsed.host} has no address")
    if not private:
        for address in addresses:
            if not is_public(address):
                raise ForbiddenError(
                    f"{parsed.host} is {address}, which is not an address of the public internet: webhooks "
                    "do not go there (TRITON_WEBHOOK_PRIVATE allows it)",
                    address=address,
                )
    return Destination(
        url=parsed.copy_with(host=addresses[0].partition("%")[0]),
        name=parsed.host,
        host=parsed.netloc.decode("ascii"),
    )


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, also one that is wrapped in another kind."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(address)
    if inner is not None:
        return is_public(str(inner))
    if any(address in network for network in _LOCAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: Address) -> Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
