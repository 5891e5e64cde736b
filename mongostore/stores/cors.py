"""Who decides which web origins may call the server's endpoints."""

from typing import Protocol


class CorsPolicyService(Protocol):
    """Allows the origins of enabled clients."""

    async def is_origin_allowed(self, origin: str) -> bool:
        """Tell whether an enabled client has this origin among its `allowed_cors_origins`.

        Both sides are normalised: `scheme://host[:port]`, lower-cased, without a default port. `null`, and what is no
        origin, is not allowed. Sources: Fetch standard (`Origin` header), RFC 6454 §6.2.
        """
