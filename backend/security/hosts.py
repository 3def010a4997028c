"""Which Host a request may name, and which Origin may change state.

A page on the internet can make a browser send requests here (cross-site), and can make its own name
point here (DNS rebinding). The first is told by Origin and Sec-Fetch-Site, the second by a Host
that is a name we do not know. An address in numbers cannot be rebound, so with a token any is fine.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from backend.settings import LOOPBACK_NAMES, Settings, host_name


def host_is_known(host_header: str, settings: Settings) -> bool:
    """Whether the Host header names this server."""
    name = _name_of(host_header)
    if name is None:
        return False
    if name in LOOPBACK_NAMES or name == settings.host.lower().strip("[]"):
        return True
    if name in settings.allowed_hosts:
        return True
    if settings.is_loopback:
        return False
    return _is_address(name) or name == host_name().lower()


def origin_is_own(
    origin: str | None, fetch_site: str | None, host_header: str, settings: Settings
) -> bool:
    """Whether a request that changes state comes from our own page or from no page at all."""
    if origin is None:
        return fetch_site in (None, "same-origin", "none")
    parts = urlsplit(origin)
    if parts.netloc.lower() == host_header.lower():
        return parts.scheme in ("http", "https")
    return (parts.hostname or "") in settings.allowed_hosts


def _name_of(host_header: str) -> str | None:
    try:
        return urlsplit(f"//{host_header}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
