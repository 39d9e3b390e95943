"""Which addresses that the DNS gives are not to be connected to.

Whoever owns a domain says where its MX points, and may point it at us or into our network: mail to the domain
would then be brought there from inside.  By how much the DNS is believed (``[dns] private``):

==========  ==================================================================
"allow"     any address that can be one of a host
"site"      not this host itself: no loopback and no link-local address
"refuse"    nor one of a private network (RFC 1918, 4193, 6598)
==========  ==================================================================

Addresses that mean no single host (unspecified, multicast, reserved) are never used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    Level = Literal["allow", "site", "refuse"]

LEVELS: Final = ("allow", "site", "refuse")
USUAL: Final = "site"

_PRIVATE: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
    "fec0::/10",
)


def why_not(address: str, level: Level = USUAL) -> str:
    """Why an IP address is not to be connected to, "" when it is.  Never raises."""
    import ipaddress  # for whoever connects, not for whoever reads a configuration

    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"{address} is no IP address"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        return f"{address} means this host"
    if ip.is_multicast or (ip.version == 4 and ip.is_reserved) or (ip.version == 4 and int(ip) >> 24 == 0):
        return f"{address} is no address of a host"
    if level == "allow":
        return ""
    if ip.is_loopback:
        return f"{address} is a loopback address"
    if ip.is_link_local:
        return f"{address} is a link-local address"
    if level == "refuse" and any(ip in ipaddress.ip_network(network) for network in _PRIVATE):
        return f"{address} is an address of a private network"
    return ""
