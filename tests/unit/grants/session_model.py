"""Sessions that end while their user signs in to clients, refreshes and renews, in every interleaving.

When `sessions.end` has returned, the session is absent, nothing of it is renewed, and nothing that was granted in it before
its record was deleted is live. Its clients are told when session and tokens are gone. From the mark on it stays ended, also
when the node that ends it dies.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from interleavings import Actor, Broken, Model, Script, State, drawn_by_script, explore, run_alone
from rotation_model import ORDERS, TOKEN, again
from stepped_server import Command, Rows, Server, SteppedBinding
from stepped_stores import CLOCK, LIBRARY, SteppedStores, named_by_scripts

from mongostore.errors import NotFound
from mongostore.models import RemoveSessionsContext
from mongostore.mongo import session_logouts
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields
from mongostore.mongo.sessions import MongoServerSideSessionStore
from mongostore.sessions import tickets as tickets_module
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.logouts import Logouts
from mongostore.sessions.service import SessionService
from mongostore.sessions.tickets import Tickets
from mongostore.stores.grant_records import CODE, REFERENCE, REFRESH
from mongostore.testing.factories import a_reference_token, a_ticket, an_authorization_code

GRACE = timedelta(days=1)
TICKET = a_ticket("alice", "s1")
CODE_ISSUED = an_authorization_code("alice")
ACCESS_TOKEN = a_reference_token("alice", "s1")
CONTEXT = RemoveSessionsContext(subject_id="alice", session_id="s1")


@dataclass(frozen=True)
class SessionScenario:
    """Who is about at once, each named by a method of `Sessions`."""

    actors: tuple[str, ...]
    crashes: int = 0
    losses: int = 0

    def __str__(self) -> str:
        return f"{', '.join(self.actors)} ({self.crashes} crashes, {self.losses} losses)"


class Sessions(Model):
    """One scenario: the stores, the callers, and what must hold of them."""

    def __init__(self, scenario: SessionScenario, logouts: type[Logouts]) -> None:
        self.scenario = scenario
        self.server = Server(ORDERS["backwards"])
        self.stores = SteppedStores(LIBRARY)
        binding: Any = SteppedBinding()
        nothing: Any = None
        codec = SessionCodec("default", self.stores.protector, GRACE)
        self.sessions = MongoServerSideSessionStore(binding, codec, nothing, CLOCK)
        coordination = SessionCoordination(self.sessions, self.stores.revocation, nothing, coordinate_by_default=False)
        logout = logouts(self.sessions, CLOCK, GRACE)
        self.tickets = Tickets(self.sessions, coordination, logout, CLOCK, None)
        self.service = SessionService(self.sessions, coordination, logout, nothing)
        self.key = self.family = self.token = ""
        rows, (self.key, self.family, self.token) = run_alone(self.server, (), Script("given", self.given))
        actors = [Script(f"{number} {name}", getattr(self, name)) for number, name in enumerate(scenario.actors)]
        self.first = State(rows, tuple(Actor(each.begin) for each in actors), (), scenario.crashes, scenario.losses)
        self._probes = [Script(name, getattr(self, name)) for name in ("retrieve", "renew", "issue", "refresh")]

    async def given(self) -> tuple[str, str, str]:
        key = await self.tickets.store(TICKET)
        await self.tickets.add_client(key, "web")
        handle = await self.stores.codes.store_authorization_code(CODE_ISSUED)
        family = str((await self.stores.codes.redeem_authorization_code(handle)).family)
        return key, family, await self.stores.refresh_tokens.store_refresh_token(TOKEN, family=family)

    async def end(self) -> str:
        too_early: list[str] = []

        async def told(session):
            if await self.tickets.retrieve(self.key) or await self.stores.refresh_tokens.get_refresh_token(self.token):
                too_early.append("told too early")

        await again(lambda: self.service.end(CONTEXT, on_logout=told))
        return too_early[0] if too_early else "ended"

    async def sign_in(self) -> str:
        """To one more client: a code for the user who has a session."""
        if not await again(lambda: self.tickets.retrieve(self.key)):
            return "signed out"
        await again(lambda: self.stores.codes.store_authorization_code(CODE_ISSUED))
        return "signed in"

    async def retrieve(self) -> str:
        return "alive" if await again(lambda: self.tickets.retrieve(self.key, slide=True)) else "gone"

    async def renew(self) -> str:
        try:
            await again(lambda: self.tickets.renew(self.key, TICKET))
        except NotFound:
            return "gone"
        return "alive"

    async def issue(self) -> str:
        try:
            await again(lambda: self.stores.reference_tokens.store_reference_token(ACCESS_TOKEN, family=self.family))
        except NotFound:
            return "gone"
        return "alive"

    async def refresh(self) -> str:
        rotation = await again(
            lambda: self.stores.refresh_tokens.rotate_refresh_token(self.token, TOKEN, grace=timedelta(seconds=30))
        )
        return "alive" if rotation.handle else "gone"

    def facts(self, state: State, command: Command, answer: Any) -> frozenset[str]:
        """Whether the session was marked as ended, and whether somebody signed in after its record was deleted."""
        if command.name == "update_one" and command.collection == SessionFields.label and answer.matched_count:
            return state.facts | ({"marked"} if "claim" in command.change.get("$set", {}) else set())
        is_sign_in = command.name == "insert_one" and command.change.get("type") == CODE
        has_record = any(row.collection == SessionFields.label for row in state.rows)
        return state.facts | ({"signed in late"} if is_sign_in and not has_record else set())

    def check_end(self, state: State) -> None:
        results = [actor.stand.result for actor in state.actors if not actor.dead]
        disturbed = (state.crashes, state.losses) != (self.first.crashes, self.first.losses)
        if "told too early" in results:
            raise Broken("survived: clients are told of an end that is not there yet")
        if "marked" in state.facts and self._ask(state.rows, 0) == "alive":
            raise Broken("survived: a session that was marked as ended is retrieved")
        if "ended" in results:
            for number, probe in enumerate(self._probes):
                if self._ask(state.rows, number) == "alive":
                    raise Broken(f"survived: {probe} works after the end of the session")
            for row in state.rows:
                is_code = row.document.get("type") == CODE and "consumed_time" not in row.document
                is_token = row.document.get("type") in (REFRESH, REFERENCE) and not row.document.get("pending")
                is_excused = "signed in late" in state.facts if is_code else disturbed
                if (is_code or is_token) and not is_excused:
                    raise Broken(f"survived: a live {row.document['type']} of a session that has ended")
        elif "end" not in self.scenario.actors and self._ask(state.rows, 0) != "alive":
            raise Broken("lost: nobody has ended the session")

    def _ask(self, rows: Rows, number: int) -> str:
        return run_alone(self.server, rows, self._probes[number])[1]


def _drawn_hex(length: int) -> str:
    return hashlib.sha256(drawn_by_script().encode()).hexdigest()[: 2 * length]


def explore_sessions(scenario: SessionScenario, logouts: type[Logouts] = Logouts) -> int:
    """Run every interleaving of a scenario; the number of different states."""
    with named_by_scripts(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_logouts, "token_hex", _drawn_hex)
        patch.setattr(tickets_module, "secrets", SimpleNamespace(token_hex=_drawn_hex))
        model = Sessions(scenario, logouts)
        return explore(model, model.server, model.first)
