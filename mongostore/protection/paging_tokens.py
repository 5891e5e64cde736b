"""Paging tokens: the place where a list was left, sealed, so that a browser may carry it and cannot change it."""

import base64
import json
from typing import Final, TypeVar

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.protection.context import Context
from mongostore.protection.envelope import take_apart
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import SealingProtector
from mongostore.stores.paging import Ordered, Page, PageEdges, read_page

# Frozen as long as tokens are in browsers: they open under these names only.
_LABEL: Final = "paging"
_FIELD: Final = "token"

T = TypeVar("T")


class PagingTokens:
    """Makes and reads the tokens of one tenant's lists. A token opens for the tenant and filter that it was made for.

    Strangers hand tokens in. So one whose data key is not at hand is no token, without a look for that key: made-up ones
    cost the database nothing, and the first page is the right answer to a real one whose key is so new. And none is told as
    tampered.
    """

    def __init__(self, tenant: str, key_ring: KeyRing) -> None:
        """Args: whose lists, and the keys that seal their tokens."""
        self._tenant = tenant
        self._keys = key_ring
        self._protector = SealingProtector(key_ring)

    async def read_page(
        self, items: Ordered[T], scope: list[str | None], token: str | None, size: int, *, backward: bool
    ) -> tuple[Page[T], str | None]:
        """Read the page that a token asks for, and make the token to go on from it.

        Args:
            items: the list.
            scope: what is listed, and by which filter.
            token: of another page of the same; without one, or with one that is none, the first page is read.
            size: how many items.
            backward: go to the page in front of the token's.
        """
        from_page = await self.open(token, scope) if token else None
        page = await read_page(items, from_page, size, backward=backward)
        return page, await self.seal(page.edges, scope) if page.edges else None

    async def seal(self, edges: PageEdges, scope: list[str | None]) -> str:
        """Make the token of a page.

        Layout: base64url without padding of the envelope of the JSON `[*first, *last, number, size]`.

        Args:
            edges: the page.
            scope: what is listed, and by which filter.
        """
        plaintext = json.dumps([*edges.first, *edges.last, edges.number, edges.size]).encode()
        sealed = await self._protector.seal(plaintext, self._context(scope))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def open(self, token: str, scope: list[str | None]) -> PageEdges | None:
        """Read a token: None when it is malformed, or was made for another tenant or filter."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            key_id, _, _ = take_apart(sealed)
            if not await self._keys.for_tenant(self._tenant).has(key_id):
                return None
            plaintext = await self._protector.open(sealed, self._context(scope))
        except (ValueError, PayloadUnreadable, KeyUnavailable):
            return None
        first_name, first_id, last_name, last_id, number, size = json.loads(plaintext)
        return PageEdges((first_name, first_id), (last_name, last_id), number, size)

    def _context(self, scope: list[str | None]) -> Context:
        return Context(self._tenant, _LABEL, json.dumps(scope), _FIELD)
