"""Revocation of all that was granted: over every collection that holds something which could still be used."""

from collections.abc import Iterable
from datetime import datetime

from mongostore.models import PersistedGrantFilter, PersistedGrantType
from mongostore.models.revalidation import made
from mongostore.stores.arguments import check_instant
from mongostore.stores.device_codes import DeviceFlowStore
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.pushed_requests import PushedAuthorizationRequestStore

# What a sign-in gives to clients. Consent outlives it.
TOKEN_TYPES: tuple[str, ...] = (
    PersistedGrantType.RefreshToken.value,
    PersistedGrantType.ReferenceToken.value,
    PersistedGrantType.AuthorizationCode.value,
    PersistedGrantType.BackChannelAuthenticationRequest.value,
)


class Revocation:
    """Revokes the grants of one tenant."""

    def __init__(
        self,
        grants: PersistedGrantStore,
        device_flow: DeviceFlowStore,
        pushed_requests: PushedAuthorizationRequestStore,
    ) -> None:
        """Args: where grants, device authorization requests and pushed requests are kept."""
        self._grants = grants
        self._device_flow = device_flow
        self._requests = (device_flow, pushed_requests)

    async def remove(
        self,
        *,
        subject_id: str | None = None,
        session_id: str | None = None,
        client_ids: Iterable[str] | None = None,
        tokens: bool = True,
        consents: bool = True,
    ) -> int:
        """Remove what a subject, a session or clients have; what is given must all hold.

        When it returns, nothing that it covers is live, or becomes live from what was redeemed, rotated or retrieved
        before it returned.

        Args:
            subject_id: whose grants.
            session_id: given in which session. Consents belong to no session: name subject and clients for them.
            client_ids: given to which clients; None means all, an empty list none.
            tokens: remove codes, tokens, and requests for them (backchannel, device, pushed).
            consents: remove consents.

        Returns:
            How many records were removed; a lower bound after a fail-over.

        Raises:
            ValueError: neither subject, session nor clients are given.
            StorageUnavailable: MongoDB did not answer; repeat it.
        """
        types = [*(TOKEN_TYPES if tokens else ()), *((PersistedGrantType.UserConsent.value,) if consents else ())]
        wanted = made(
            PersistedGrantFilter,
            subject_id=subject_id,
            session_id=session_id,
            client_ids=None if client_ids is None else list(client_ids),
        )
        # Requests first: what they could still become is a grant.
        removed = sum([await requests.remove_all(wanted) for requests in self._requests]) if tokens else 0
        of_types = wanted if tokens and consents else wanted.model_copy(update={"types": types})
        return removed + await self._grants.remove_all(of_types)

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove grants and device authorizations that were created before an instant; see `GrantService.revoke_before`.

        Pushed requests stay: they are of use only to somebody who signs in.
        """
        instant = check_instant("instant", instant)
        removed = await self._device_flow.remove_created_before(instant)
        return removed + await self._grants.remove_created_before(instant)
