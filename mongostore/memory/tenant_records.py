"""How many records a tenant has in memory, counted as they would lie in MongoDB."""

from collections.abc import Mapping
from typing import Any


def records_of(stores: Mapping[str, Any]) -> dict[str, int]:
    """Count a tenant's records by the label of the collection that would hold them, in the collections' order.

    Args:
        stores: the memory stores of the tenant, by their attributes.
    """
    clients, resources, providers = stores["clients"], stores["resources"], stores["identity_providers"]
    grants, sessions = stores["grant_records"], stores["server_side_sessions"]
    # ruff: noqa: SLF001 - the stores are of this package, and say to nobody else how much they hold
    table = grants._table
    return {
        "api_resources": len(resources._api_resources),
        "clients": len(clients._clients),
        "device_codes": len(stores["device_flow"].table.rows),
        "grants": len(table.rows) + len(table._closed),
        "identity_providers": len(providers._providers),
        "messages": len(stores["messages"]._table.rows) + len(stores["consent_messages"]._table.rows),
        "pushed_authorization_requests": len(stores["pushed_authorization_requests"].table.rows),
        "replay_cache": len(stores["replay_cache"]._table.rows),
        # One counter for all configuration.
        "revisions": int(clients._clients.is_counted),
        "scopes": len(resources._identity_resources) + len(resources._api_scopes),
        "sessions": len(sessions._rows) + len(sessions._aside),
        # A deleted key leaves its place for a while.
        "signing_keys": stores["signing_keys"]._generation,
    }
