"""The session service: for pages where users and administrators see and end sessions, and for what follows an end."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import (
    Client,
    QueryResult,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
    UserSession,
)
from mongostore.models.revalidation import revalidated
from mongostore.models.sessions import check_session
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.deliveries import Outcome, clients_of, initial_state
from mongostore.sessions.expiry import DEFAULT_COUNT, DEFAULT_INTERVAL, DEFAULT_LEASE, ExpiryCallback, SessionExpiry
from mongostore.sessions.logouts import Logouts
from mongostore.sessions.user_sessions import user_session
from mongostore.stores.arguments import check_callback, check_duration
from mongostore.stores.sessions import ServerSideSessionStore

_log = logging.getLogger("mongostore")

LogoutCallback = Callable[[UserSession], Awaitable[Outcome] | Outcome]
"""Tells the clients of a session, `session.client_ids`, that it has ended (OpenID Connect Back-Channel Logout 1.0).

None means that all of them were told, an exception that none was, and a list of client ids that exactly those were not.
"""


class SessionService:
    """The sessions of one tenant, and the grants that hang on them."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        coordination: SessionCoordination,
        logouts: Logouts,
        expiry: SessionExpiry,
    ) -> None:
        """Args: the sessions, what ties grants to them, what carries out logouts, and what processes those left over."""
        self._sessions = sessions
        self._coordination = coordination
        self._logouts = logouts
        self._expiry = expiry

    async def query(self, query: SessionQuery | None = None) -> QueryResult[UserSession]:
        """Read a page of sessions; see `ServerSideSessionStore.query_sessions`.

        A ticket is given as it was stored. Issuer and clients are known of tickets that the ticket service stored.
        """
        page = await self._sessions.query_sessions(query)
        described = {name: getattr(page, name) for name in QueryResult.model_fields}
        return QueryResult[UserSession](**described | {"results": [user_session(session) for session in page.results]})

    async def end(self, context: RemoveSessionsContext, *, on_logout: LogoutCallback | None = None) -> int:
        """End sessions, and what was granted in them, as far as the context's flags say.

        First the sessions are marked as ended: from then on they are absent for everything, on every node. Then grants are
        revoked, the clients are told, the sessions are deleted, those as well that can't be read, and what was granted
        meanwhile is revoked. When this has returned, nothing that it covers is alive, or comes alive from what was redeemed,
        rotated or retrieved before. When it is cut short after the mark, `process_expired` takes it up.

        A client that could not be told does not keep the session alive: its logout comes to `process_expired`.

        Consents belong to a subject and a client. When a session id is given, those go that the subject gave to the clients
        of its sessions; otherwise all of the subject's.

        Args:
            context: whose sessions; `client_ids` narrows down whose grants are revoked and who is told, and an empty
                list means nobody. Without `remove_server_side_session` the sessions go on, and who can't be told is not
                told later.
            on_logout: tells the clients of one session that are in `session.client_ids`. When it returns None, all of them
                were told; when it raises, none; when it returns a list of client ids, exactly those could not be told.
                Without it nobody is told, now or later.

        Returns:
            How many sessions were ended.

        Raises:
            TypeError, ValueError: the context is none, names no subject or session, or holds what it can't.
            StorageUnavailable: MongoDB did not answer. Repeat it, or leave the rest to `process_expired`.
        """
        context = revalidated(context, RemoveSessionsContext)
        wanted = SessionFilter(subject_id=context.subject_id, session_id=context.session_id)
        check_callback("on_logout", on_logout, optional=True)
        tell = on_logout if context.send_backchannel_logout_notification else None
        if not context.remove_server_side_session:
            await self._end_grants(context, await self._readable(wanted), tell)
            return 0
        ended = await self._sessions.end_sessions(
            wanted, lambda session: initial_state(session, context, tells=tell is not None), DEFAULT_LEASE
        )
        sessions = [logout.session for logout in ended.logouts]
        await self._logouts.carry_out_all(
            ended.logouts,
            lambda: self._coordination.revoke(context, sessions),
            None if tell is None else lambda session: tell(user_session(session)),
        )
        return len(ended.logouts) + ended.unreadable

    async def process_expired(
        self, callback: ExpiryCallback, *, count: int = DEFAULT_COUNT, lease: timedelta = DEFAULT_LEASE
    ) -> int:
        """Process one batch of sessions that have expired, or were ended and are not done with, each at least once.

        Of each that expired, the tokens of coordinated clients are revoked; of each whose `end` was cut short, what that was
        to revoke. Then the callback is called, the session is forgotten, and what was granted meanwhile is revoked as well.
        Nothing is revoked that belongs to a session begun later under the same ids. When the process dies, the session
        comes again when the lease is over.

        How far a logout has come is kept for each client. A client that could not be told is tried again after 30 seconds,
        then after twice as long each time, up to an hour, for as long as `session_expiry_grace`; then it is given up, with
        an event `logout_undelivered`. A client that was told is not told again.

        Args:
            callback: tells those clients that the session's ticket names (see `user_session`): only those that are still
                to be told. When it returns None, all of them were told; when it raises, none; when it returns a list of
                client ids, exactly those could not be told. A ticket of the server's own comes as it is, and is told as a
                whole. A session may come twice.
            count: how many at most.
            lease: how long nobody else gets them: longer than the callback needs for all of them.

        Returns:
            How many were processed. Failures are logged.
        """
        check_callback("callback", callback)
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
        check_callback("callback", callback)
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

    async def _end_grants(
        self, context: RemoveSessionsContext, sessions: list[ServerSideSession], tell: LogoutCallback | None
    ) -> None:
        await self._coordination.revoke(context, sessions)
        if tell is None:
            return
        for session in sessions:
            described = user_session(session)
            if context.client_ids is not None:
                among = [client_id for client_id in clients_of(session) if client_id in context.client_ids]
                if not among:
                    continue
                described = described.model_copy(update={"client_ids": among})
            try:
                outcome = tell(described)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:  # noqa: BLE001 - the callback is the server's
                _log.exception("The clients of a session could not be told that its tokens have ended")

    async def _readable(self, wanted: SessionFilter) -> list[ServerSideSession]:
        try:
            return await self._sessions.get_sessions(wanted)
        except (PayloadUnreadable, KeyUnavailable) as error:
            _log.error("Sessions end without a notification: %s", error)
            return []
