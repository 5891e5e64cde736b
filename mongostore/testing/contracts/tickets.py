"""What the ticket service does on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound
from mongostore.models import (
    AuthenticationTicket,
    Claim,
    PersistedGrantFilter,
    PersistedGrantType,
    Principal,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    UserSession,
)
from mongostore.models.principal import STRING_VALUE_TYPE
from mongostore.sessions.user_sessions import user_session
from mongostore.testing.factories import a_grant, a_session, a_ticket

HOUR = timedelta(hours=1)

TOKENS = {"refresh_token", "reference_token", "authorization_code", "ciba"}


async def unreachable(_: object) -> None:
    """Tells nobody."""
    raise ConnectionError


class TicketContract:
    """Storing, retrieving, renewing and removing tickets."""

    async def test_a_stored_ticket_signs_in(self, store: Any) -> None:
        """A stored ticket is retrieved by its key, every field, and makes a session of its subject."""
        ticket = a_ticket()
        key = await store.tickets.store(ticket)
        assert len(key) == 64
        assert set(key) <= set("0123456789ABCDEF")
        assert await store.tickets.retrieve(key) == ticket
        session = await store.server_side_sessions.get_session(key)
        assert (session.subject_id, session.session_id, session.scheme) == ("alice", "s1", "cookie")
        assert (session.created, session.renewed, session.expires) == (ticket.issued, ticket.issued, ticket.expires)
        assert session.display_name is None

    async def test_claims_come_back_with_type_and_issuer(self, store: Any) -> None:
        """What another issuer said of the user is still that issuer's, after storing as after renewing; order is kept."""
        claims = [
            Claim("sub", "alice"),
            Claim("email", "alice@corp.example", issuer="https://corp.example"),
            Claim("email", "alice@home.example"),
            Claim("age", "42", "http://www.w3.org/2001/XMLSchema#integer", "https://corp.example"),
            Claim("sid", "s1"),
        ]
        ticket = a_ticket().model_copy(update={"principal": Principal(claims, "oidc")})
        key = await store.tickets.store(ticket)
        principal = (await store.tickets.retrieve(key)).principal
        assert principal.authentication_type == "oidc"
        said = [(claim.type, claim.value, claim.value_type, claim.issuer) for claim in principal.claims]
        assert said == [
            ("sub", "alice", STRING_VALUE_TYPE, None),
            ("email", "alice@corp.example", STRING_VALUE_TYPE, "https://corp.example"),
            ("email", "alice@home.example", STRING_VALUE_TYPE, None),
            ("age", "42", "http://www.w3.org/2001/XMLSchema#integer", "https://corp.example"),
            ("sid", "s1", STRING_VALUE_TYPE, None),
        ]
        renewed = ticket.model_copy(update={"principal": Principal(claims[::-1], "oidc")})
        await store.tickets.renew(key, renewed)
        assert (await store.tickets.retrieve(key)).principal.claims == claims[::-1]

    async def test_every_ticket_has_its_own_key(self, store: Any) -> None:
        """Two tickets, even equal ones, are two sessions."""
        assert await store.tickets.store(a_ticket()) != await store.tickets.store(a_ticket())

    async def test_a_ticket_without_instants_begins_now_and_stays(self, store: Any) -> None:
        """Without `issued` it is issued now; without `expires` it does not expire."""
        key = await store.tickets.store(a_ticket(issued=None, expires=None))
        store.clock.advance(timedelta(days=1_000))
        found = await store.tickets.retrieve(key, slide=True)
        assert found.expires is None
        assert found.issued == store.clock.now() - timedelta(days=1_000)

    async def test_an_unknown_or_expired_key_signs_nobody_in(self, store: Any) -> None:
        """No session, no ticket."""
        assert await store.tickets.retrieve("unknown") is None
        assert await store.tickets.retrieve("unknown", slide=True) is None
        key = await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR)
        assert await store.tickets.retrieve(key) is None
        assert await store.tickets.retrieve(key, slide=True) is None

    async def test_retrieving_slides_when_asked(self, store: Any) -> None:
        """A session in use begins anew, and the ticket tells its new times; without asking, it runs out."""
        start = store.clock.now()
        ticket = a_ticket(issued=start, expires=start + HOUR)
        key = await store.tickets.store(ticket)
        store.clock.advance(HOUR / 2)
        assert await store.tickets.retrieve(key) == ticket
        now = store.clock.now()
        slid = ticket.model_copy(update={"issued": now, "expires": now + HOUR})
        assert await store.tickets.retrieve(key, slide=True) == slid
        store.clock.advance(HOUR / 2)
        assert await store.tickets.retrieve(key) == slid

    async def test_a_removed_ticket_is_gone(self, store: Any) -> None:
        """Removing ends the session, once."""
        key = await store.tickets.store(a_ticket())
        assert await store.tickets.remove(key) is True
        assert await store.tickets.remove(key) is False
        assert await store.tickets.retrieve(key) is None

    async def test_renewing_replaces_the_ticket(self, store: Any) -> None:
        """The new ticket is retrieved by the old key, and the session keeps its beginning."""
        start = store.clock.now()
        later = start + HOUR
        key = await store.tickets.store(a_ticket(issued=start))
        await store.persisted_grants.store(a_grant("k"))
        renewed = a_ticket(issued=later, expires=later + HOUR, client_ids=["web", "shop"], items={})
        assert await store.tickets.renew(key, renewed) == key
        assert await store.tickets.retrieve(key) == renewed
        session = await store.server_side_sessions.get_session(key)
        assert (session.created, session.renewed) == (start, later)
        assert await store.persisted_grants.get("k") is not None

    @pytest.mark.parametrize("gone", ["never stored", "no key", "removed", "expired", "ended", "of another service"])
    async def test_renewing_begins_no_session(self, store: Any, gone: str) -> None:
        """A key that `store` did not make, or whose session is gone, is NotFound, and there is no session afterwards."""
        key = await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
        if gone == "never stored":
            key = "0" * 64
        elif gone == "no key":
            key = "never"
        elif gone == "removed":
            await store.tickets.remove(key)
        elif gone == "expired":
            store.clock.advance(HOUR)
        elif gone == "ended":
            await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=unreachable)
        else:
            key = "F" * 64
            await store.server_side_sessions.create_session(a_session(key, ticket="the server's own"))
        with pytest.raises(NotFound):
            await store.tickets.renew(key, a_ticket(expires=store.clock.now() + 2 * HOUR))
        assert await store.tickets.retrieve(key) is None

    @pytest.mark.parametrize(("subject_id", "session_id"), [("bob", "s1"), ("alice", "s2"), ("bob", "s2")])
    async def test_a_changed_user_gets_a_session_of_its_own(self, store: Any, subject_id: str, session_id: str) -> None:
        """When subject or session id change, the new session has a new key, and the former one has ended.

        The former one's tokens go, consents and other sessions stay; its clients are told by `process_expired`.
        """
        key = await store.tickets.store(a_ticket(client_ids=["shop"]))
        for grant_type in PersistedGrantType:
            await store.persisted_grants.store(a_grant(f"{grant_type} mine", type=grant_type.value))
            await store.persisted_grants.store(a_grant(f"{grant_type} other", type=grant_type.value, session_id="s9"))
        changed = a_ticket(subject_id, session_id)
        new_key = await store.tickets.renew(key, changed)
        assert new_key != key
        assert await store.tickets.retrieve(key) is None
        assert await store.tickets.retrieve(new_key) == changed
        session = await store.server_side_sessions.get_session(new_key)
        assert (session.subject_id, session.session_id, session.created) == (subject_id, session_id, changed.issued)
        left = {grant.key for grant in await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))}
        everything = {f"{grant_type} {whose}" for grant_type in PersistedGrantType for whose in ("mine", "other")}
        assert left == everything - {f"{grant_type} mine" for grant_type in TOKENS}
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 1
        assert [(each.subject_id, each.session_id, user_session(each).client_ids) for each in told] == [
            ("alice", "s1", ["shop"])
        ]

    async def test_concurrent_renewals_all_succeed(self, store: Any) -> None:
        """Of 10 renewals at once, one after the other replaces the ticket, all under the same key."""
        key = await store.tickets.store(a_ticket())
        tickets = [a_ticket(items={"n": str(number)}) for number in range(10)]
        assert set(await asyncio.gather(*(store.tickets.renew(key, ticket) for ticket in tickets))) == {key}
        assert await store.tickets.retrieve(key) in tickets
        assert len(await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))) == 1

    async def test_a_client_is_added(self, store: Any) -> None:
        """A client is added once, behind the others; everything else of the ticket and its session stays."""
        ticket = a_ticket()
        key = await store.tickets.store(ticket)
        before = await store.server_side_sessions.get_session(key)
        for _ in range(2):
            assert await store.tickets.add_client(key, "shop") is True
        with_both = ticket.model_copy(update={"client_ids": ["web", "shop"]})
        assert await store.tickets.retrieve(key) == with_both
        after = await store.server_side_sessions.get_session(key)
        assert after.model_copy(update={"ticket": before.ticket}) == before
        assert (await store.sessions.query()).results[0].client_ids == ["web", "shop"]

    async def test_of_many_clients_at_once_none_is_lost(self, store: Any) -> None:
        """Of 20 clients that the user signs in to at once, while the session slides and is renewed, all are told."""
        start = store.clock.now()
        key = await store.tickets.store(a_ticket(issued=start, expires=start + HOUR, client_ids=[]))
        store.clock.advance(HOUR / 2)
        clients = [f"client {number}" for number in range(20)]
        renewed = a_ticket(expires=store.clock.now() + HOUR, client_ids=["of the renewed ticket"])
        added = await asyncio.gather(
            *(store.tickets.add_client(key, client) for client in clients),
            store.tickets.retrieve(key, slide=True),
            store.tickets.renew(key, renewed),
        )
        assert added[:20] == [True] * 20
        told: list[str] = []

        async def tell(session: UserSession) -> None:
            told.extend(session.client_ids)

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=tell) == 1
        assert sorted(told) == sorted([*clients, "of the renewed ticket"])

    async def test_a_client_is_added_to_no_session_that_is_gone(self, store: Any) -> None:
        """An unknown, removed, expired or ended session takes no client, nor does one with a ticket of another service."""
        key = await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
        other = await store.tickets.store(a_ticket(session_id="s2"))
        await store.server_side_sessions.create_session(a_session("own", ticket="opaque"))
        assert await store.tickets.add_client("unknown", "shop") is False
        assert await store.tickets.add_client("", "shop") is False
        assert await store.tickets.add_client("own", "shop") is False
        context = RemoveSessionsContext(subject_id="alice", session_id="s2")
        await store.sessions.end(context, on_logout=unreachable)
        assert await store.tickets.add_client(other, "shop") is False
        store.clock.advance(HOUR)
        assert await store.tickets.add_client(key, "shop") is False
        for wrong in (None, "", "a\0b", 7):
            with pytest.raises((TypeError, ValueError), match="client_id"):
                await store.tickets.add_client(key, wrong)

    async def test_a_ticket_takes_no_more_clients_than_can_be_read_again(self, store: Any) -> None:
        """Beyond 10,000 clients, adding and renewing are refused and leave the session as it is."""
        many = [f"client {number}" for number in range(10_000)]
        key = await store.tickets.store(a_ticket(client_ids=many))
        with pytest.raises(ValueError, match="client_ids"):
            await store.tickets.add_client(key, "one more")
        with pytest.raises(ValueError, match="client_ids"):
            await store.tickets.renew(key, a_ticket(client_ids=["one more"]))
        assert (await store.tickets.retrieve(key)).client_ids == many

    async def test_a_foreign_ticket_signs_nobody_in(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A session whose ticket this service did not store gives none, and stays; the log says so."""
        for ticket in ("opaque", b"\xff", '{"Scheme": 1}', "null"):
            await store.server_side_sessions.create_session(a_session("k", ticket=ticket))
            caplog.clear()
            with caplog.at_level(logging.ERROR, "mongostore"):
                assert await store.tickets.retrieve("unknown") is None
                assert caplog.records == []
                assert await store.tickets.retrieve("k") is None
            assert "signed out" in caplog.text
            assert await store.server_side_sessions.delete_session("k") is True

    async def test_a_ticket_needs_subject_and_session(self, store: Any) -> None:
        """A principal without `sub` or `sid` is refused, and so is what is no ticket."""
        nothing = AuthenticationTicket.model_construct()
        for claims in ([], [{"type": "sub", "value": "alice"}], [{"type": "sid", "value": "s1"}]):
            incomplete = a_ticket().model_copy(update={"principal": Principal.model_validate({"claims": claims})})
            with pytest.raises(ValueError, match=r"sub|sid"):
                await store.tickets.store(incomplete)
            with pytest.raises(ValueError, match=r"sub|sid"):
                await store.tickets.renew("k", incomplete)
        bad = a_ticket().model_copy(update={"principal": "alice"})
        for unchecked in (nothing, bad):
            with pytest.raises((TypeError, ValueError), match="principal"):
                await store.tickets.store(unchecked)
            with pytest.raises((TypeError, ValueError), match="principal"):
                await store.tickets.renew("0" * 64, unchecked)
        for wrong in (None, "ticket", a_session()):
            with pytest.raises(TypeError):
                await store.tickets.store(wrong)
            with pytest.raises(TypeError):
                await store.tickets.renew("k", wrong)
        for no_key in (None, 7, b"k", ["k"]):
            with pytest.raises(TypeError, match="key must be a str"):
                await store.tickets.renew(no_key, a_ticket())
        assert (await store.server_side_sessions.query_sessions()).total_count == 0
