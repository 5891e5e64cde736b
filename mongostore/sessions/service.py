"""The session service: for pages where users and administrators see and end sessions, and for what follows an end."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from mongostore.clock import Clock
from mongostore.errors import KeyUnavailable, NotFound, PayloadUnreadable
from mongostore.models import (
    Client,
    PersistedGrantFilter,
    PersistedGrantType,
    QueryResult,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
    UserSession,
)
from mongostore.models.revalidation import revalidated
from mongostore.models.sessions import check_session
from mongostore.sessions.coordination import TOKEN_TYPES, SessionCoordination
from mongostore.sessions.expiry import DEFAULT_COUNT, DEFAULT_INTERVAL, DEFAULT_LEASE, ExpiryCallback, SessionExpiry
from mongostore.sessions.user_sessions import user_session
from mongostore.stores.arguments import check_duration
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.sessions import ServerSideSessionStore

_log = logging.getLogger("mongostore")

LogoutCallback = Callable[[UserSession], Awaitable[object]]
"""Tells the clients of a session, `session.client_ids`, that it has ended (OpenID Connect Back-Channel Logout 1.0)."""


class SessionService:
    """The sessions of one tenant, and the grants that hang on them."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        grants: PersistedGrantStore,
        coordination: SessionCoordination,
        expiry: SessionExpiry,
        clock: Clock,
    ) -> None:
        """Args: sessions and grants, what ties tokens to sessions, what processes expired ones, and the time."""
        self._sessions = sessions
        self._grants = grants
        self._coordination = coordination
        self._expiry = expiry
        self._clock = clock

    async def query(self, query: SessionQuery | None = None) -> QueryResult[UserSession]:
        """Read a page of sessions; see `ServerSideSessionStore.query_sessions`.

        A ticket is given as it was stored. Issuer and clients are known of tickets that the ticket service stored.
        """
        page = await self._sessions.query_sessions(query)
        described = {name: getattr(page, name) for name in QueryResult.model_fields}
        return QueryResult[UserSession](**described | {"results": [user_session(session) for session in page.results]})

    async def end(self, context: RemoveSessionsContext, *, on_logout: LogoutCallback | None = None) -> int:
        """End sessions, and what was granted in them, as far as the context's flags say.

        Grants are revoked first. Then the clients are told, and then the sessions are deleted, those as well that can't
        be read or began meanwhile. A session whose clients could not be told ends at once, too, and comes to the
        callback of `process_expired`, so that no logout is lost.

        Args:
            context: whose sessions; `client_ids` narrows down whose grants are revoked and who is told, and an empty
                list means nobody.
            on_logout: tells the clients of one session.

        Returns:
            How many sessions were ended; a lower bound after a fail-over.

        Raises:
            TypeError, ValueError: the context is none, or names no subject or session.
        """
        context = revalidated(context, RemoveSessionsContext)
        wanted = SessionFilter(subject_id=context.subject_id, session_id=context.session_id)
        await self._revoke(context)
        ended = 0
        if context.send_backchannel_logout_notification and on_logout is not None:
            for session in await self._readable(wanted):
                told = await self._told(session, context, on_logout)
                if not told and context.remove_server_side_session:
                    ended += await self._expire(session)
        if context.remove_server_side_session:
            ended += await self._sessions.delete_sessions(wanted)
        return ended

    async def process_expired(
        self, callback: ExpiryCallback, *, count: int = DEFAULT_COUNT, lease: timedelta = DEFAULT_LEASE
    ) -> int:
        """Process one batch of expired sessions, each at least once.

        Of each, the tokens of coordinated clients are revoked, the callback is called, and then it is forgotten. When
        the callback raises, or the process dies, it comes again when the lease is over.

        Args:
            callback: tells the clients (see `user_session` for who they are); it may see a session twice.
            count: how many at most.
            lease: how long nobody else gets them: longer than the callback needs for all of them.

        Returns:
            How many were processed. Failures are logged.
        """
        return await self._expiry.process(callback, count, lease)

    async def run(self, callback: ExpiryCallback, *, interval: timedelta = DEFAULT_INTERVAL) -> None:
        """Process expired sessions of this tenant as `process_expired`, on one node at a time.

        `store.sessions` is that of the tenant `default`, `store.for_tenant(slug).sessions` that of another one: no
        other tenant's sessions are processed, and a line in the log names the tenant at the start.
        `store.maintenance.run` serves all tenants of a deployment.

        It works until it is cancelled, or the store is closed (`ConfigurationError`). Other failures are logged; what
        failed is tried again from a minute later on, less and less often down to once an interval.

        Args:
            callback: as for `process_expired`.
            interval: how long to pause when everything is processed.
        """
        check_duration("interval", interval)
        await self._expiry.run(callback, interval)

    async def validate_session(self, subject_id: str, session_id: str, client: Client) -> bool:
        """Whether a token of a client may still be used: call it wherever one is.

        For a client whose tokens follow the session, there must be a session of this subject and id, and it slides: it
        is in use. All other clients' tokens have their own lifetime: True.

        Raises:
            TypeError, ValueError: the client's tokens follow the session, and an id is no text, or empty.
        """
        return await self._coordination.validate(subject_id, session_id, revalidated(client, Client))

    async def process_logout(self, session: ServerSideSession) -> int:
        """Revoke the tokens of a session whose user signs out, of the clients whose tokens follow the session.

        Expired sessions are processed so by `process_expired`, and `end` revokes the tokens of every client.

        Returns:
            How many grants were removed.
        """
        return await self._coordination.end(check_session(session))

    async def _revoke(self, context: RemoveSessionsContext) -> None:
        types = [*TOKEN_TYPES] if context.revoke_tokens else []
        if context.revoke_consents:
            types.append(PersistedGrantType.UserConsent.value)
        await self._grants.remove_all(
            PersistedGrantFilter(
                subject_id=context.subject_id,
                session_id=context.session_id,
                client_ids=context.client_ids,
                types=types,
            )
        )

    async def _readable(self, wanted: SessionFilter) -> list[ServerSideSession]:
        try:
            return await self._sessions.get_sessions(wanted)
        except (PayloadUnreadable, KeyUnavailable) as error:
            _log.error("Sessions end without a notification: %s", error)
            return []

    async def _told(
        self, session: ServerSideSession, context: RemoveSessionsContext, on_logout: LogoutCallback
    ) -> bool:
        described = user_session(session)
        if context.client_ids is not None:
            among = [client_id for client_id in described.client_ids if client_id in context.client_ids]
            if not among:
                return True
            described = described.model_copy(update={"client_ids": among})
        try:
            await on_logout(described)
        except Exception:  # noqa: BLE001 - the callback is the server's, and the user must be signed out whatever it does
            _log.exception("The clients of a session could not be told that it has ended")
            return False
        return True

    async def _expire(self, session: ServerSideSession) -> int:
        try:
            await self._sessions.update_session(session.model_copy(update={"expires": self._clock.now()}))
        except NotFound:
            return 0
        return 1
