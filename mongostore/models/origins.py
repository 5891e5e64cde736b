"""Web origins in one spelling, for both sides of a comparison. Source: RFC 6454 §4 and §6.2."""

import re
from ipaddress import AddressValueError, IPv6Address

from mongostore.models.identifiers import MAX_IDENTIFIER_LENGTH

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>(?:[a-z0-9._-]|[^\x00-\x7f])+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535


def normalize_origin(text: object) -> str | None:
    """Give an origin as `scheme://host[:port]`, lower-cased and without a default port; None when it is no origin.

    No origin is what has user information, a path (a trailing slash too), a query or a fragment; nor is `null`.
    A host in Unicode is lower-cased and else left as it is: browsers send the ASCII (`xn--`) form.
    """
    if not isinstance(text, str) or len(text) > MAX_IDENTIFIER_LENGTH or not text.isprintable():
        return None
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.group("scheme", "host", "port")
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            return None
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    if not 0 < int(port) <= _MAX_PORT:
        return None
    return f"{scheme}://{host}:{int(port)}"
