"""Grants in every interleaving: the library's own MongoDB stores, over a server whose every step is one of its own.

Callers redeem, issue, rotate and revoke at once, in every order of the server's steps (`stepped_server`), with a crash
between any two, and with answers that are lost while the command was carried out, in part, later, or not at all; then they
call again. What must hold at the end is in `Grants.check_end`:

- one caller redeems a code, one successor follows a token, and nothing is live twice;
- when a revocation has returned, nothing that it covers is live, or becomes live from what was redeemed, rotated or
  retrieved before. A revocation that is limited to one type of token leaves what these are issued from: it counts from its
  last pass over the anchors on, so what was redeemed or rotated while it ran may count as redeemed or rotated after it;
- nothing is lost but by revocation; inside the grace, neither is it by a crash;
- what a crash or a lost answer leaves behind is invisible, or a token whose handle nobody has and from which nothing comes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from interleavings import Actor, Broken, Model, Script, State, drawn_by_script, explore, run_alone
from stepped_server import Command, Order, Row, Rows, Server
from stepped_stores import LIBRARY, Parts, SteppedStores, named_by_scripts

from mongostore.errors import NotFound, StorageUnavailable
from mongostore.grants.handles import grant_key
from mongostore.models import PersistedGrantFilter
from mongostore.stores.grant_records import CODE, REFERENCE, REFRESH, is_anchored
from mongostore.testing.factories import a_reference_token, a_refresh_token, an_authorization_code

T = TypeVar("T")

GRACE = timedelta(seconds=30)
NO_GRACE = timedelta(0)
TOKEN = a_refresh_token()
ACCESS_TOKEN = a_reference_token()
AUTHORIZATION = an_authorization_code()

NAMED_FAMILY = "named by the server"

# Everything that the callers have is covered by each of these.
FULL_REVOCATIONS = ("family", "handle", "subject", "session", "client")


class Told(NamedTuple):
    """What a caller learned: an outcome, the handle that it was given, and the type of grant that is its."""

    what: str
    handle: str = ""
    type: str = ""
    family: str = ""


@dataclass(frozen=True)
class Scenario:
    """Who is about at once, each named by a method of `Grants`, and what there is before.

    Attributes:
        given: a method of `Grants` too.
        actors: the callers.
        grace: of rotations.
        order: how a pass over many records goes; see `ORDERS`.
        crashes, losses: how many callers may die, and how many answers may be lost.
    """

    given: str
    actors: tuple[str, ...]
    grace: timedelta = GRACE
    order: str = "backwards"
    crashes: int = 0
    losses: int = 0

    def __str__(self) -> str:
        ways = [] if self.grace else ["no grace"]
        ways += [] if self.order == "backwards" else [self.order]
        ways += [f"{n} {what}" for n, what in ((self.crashes, "crashes"), (self.losses, "losses")) if n]
        return f"{self.given}: {', '.join(self.actors)}" + (f" ({', '.join(ways)})" if ways else "")


class Grants(Model):
    """One scenario: the stores, the callers, and what must hold of them."""

    def __init__(self, scenario: Scenario, parts: Parts) -> None:
        self.scenario = scenario
        self.server = Server(ORDERS[scenario.order])
        stores = SteppedStores(parts)
        self.grants = stores.grants
        self.codes = stores.codes
        self.refresh_tokens = stores.refresh_tokens
        self.reference_tokens = stores.reference_tokens
        self.service = stores.service
        self.code = self.old = self.family = ""
        self._scripts: dict[str, Script] = {}
        self._probes: dict[tuple[Rows, str], tuple[Rows, tuple[Told, ...]]] = {}
        setup = Script("given", getattr(self, scenario.given))
        rows, (self.code, self.old, self.family) = run_alone(self.server, (), setup)
        actors = [Script(f"{number} {name}", getattr(self, name)) for number, name in enumerate(scenario.actors)]
        self.first = State(
            rows, tuple(Actor(script.begin) for script in actors), (), scenario.crashes, scenario.losses, frozenset()
        )

    # What there is before: the code, the refresh token, and their family.

    async def token(self) -> tuple[str, str, str]:
        handle = await self.refresh_tokens.store_refresh_token(TOKEN)
        return "", handle, grant_key(handle, REFRESH)

    async def named_token(self) -> tuple[str, str, str]:
        return "", await self.refresh_tokens.store_refresh_token(TOKEN, family=NAMED_FAMILY), NAMED_FAMILY

    async def raw_token(self) -> tuple[str, str, str]:
        handle = drawn_by_script()
        key = grant_key(handle, REFRESH)
        await self.grants.store(self.refresh_tokens._grant(TOKEN, key))
        return "", handle, key

    async def unredeemed(self) -> tuple[str, str, str]:
        return await self.codes.store_authorization_code(AUTHORIZATION), "", ""

    async def redeemed(self) -> tuple[str, str, str]:
        code, _, _ = await self.unredeemed()
        return code, "", str((await self.codes.redeem_authorization_code(code)).family)

    async def issued(self) -> tuple[str, str, str]:
        code, _, family = await self.redeemed()
        await self.reference_tokens.store_reference_token(ACCESS_TOKEN, family=family)
        return code, await self.refresh_tokens.store_refresh_token(TOKEN, family=family), family

    async def long_issued(self) -> tuple[str, str, str]:
        """The code's record has gone by TTL since."""
        code, old, family = await self.issued()
        await self.codes.remove_authorization_code(code)
        return "", old, family

    # Callers.

    async def redeem(self) -> tuple[Told, ...]:
        """As a token endpoint does: a refresh and a reference token for the code; a replay removes the family."""
        redemption = await again(lambda: self.codes.redeem_authorization_code(self.code))
        told = Told(redemption.outcome, family=redemption.family or "")
        if redemption.outcome == "unknown":
            return (told,)
        if redemption.outcome == "replayed":
            await again(lambda: self.service.remove_family(str(redemption.family)))
            return (told,)
        return (told, await self._refresh_token(redemption.family), await self._reference_token(redemption.family))

    async def issue_refresh(self) -> tuple[Told, ...]:
        return (await self._refresh_token(self.family),)

    async def issue_reference(self) -> tuple[Told, ...]:
        return (await self._reference_token(self.family),)

    async def issue_and_rotate(self) -> tuple[Told, ...]:
        first = await self._refresh_token(self.family)
        return (first, await self._rotation(first.handle)) if first.handle else (first,)

    async def rotate(self) -> tuple[Told, ...]:
        return (await self._rotation(self.old),)

    async def rotate_twice(self) -> tuple[Told, ...]:
        first = await self._rotation(self.old)
        return (first, await self._rotation(first.handle)) if first.handle else (first,)

    async def refresh(self) -> tuple[Told, ...]:
        """As a token endpoint does: a successor, and a reference token of its family."""
        rotation = await self._rotation(self.old)
        return (rotation, await self._reference_token(rotation.family)) if rotation.handle else (rotation,)

    async def revoke_family(self) -> tuple[Told, ...]:
        await again(lambda: self.service.remove_family(self.family))
        return (Told("family"),)

    async def revoke_handle(self) -> tuple[Told, ...]:
        await again(lambda: self.refresh_tokens.remove_refresh_token(self.old))
        return (Told("handle"),)

    async def revoke_subject(self) -> tuple[Told, ...]:
        await again(lambda: self.service.remove_all_grants("alice"))
        return (Told("subject"),)

    async def revoke_session(self) -> tuple[Told, ...]:
        await again(lambda: self.service.remove_all_grants("alice", session_id=TOKEN.session_id))
        return (Told("session"),)

    async def revoke_client(self) -> tuple[Told, ...]:
        await again(lambda: self.grants.remove_all(PersistedGrantFilter(client_id=TOKEN.client_id)))
        return (Told("client"),)

    async def revoke_refresh_tokens(self) -> tuple[Told, ...]:
        await again(lambda: self.refresh_tokens.remove_refresh_tokens("alice", TOKEN.client_id))
        return (Told("refresh tokens"),)

    async def revoke_reference_tokens(self) -> tuple[Told, ...]:
        await again(lambda: self.reference_tokens.remove_reference_tokens("alice", TOKEN.client_id))
        return (Told("reference tokens"),)

    async def remove_code(self) -> tuple[Told, ...]:
        await again(lambda: self.codes.remove_authorization_code(self.code))
        return (Told("code"),)

    async def _rotation(self, handle: str) -> Told:
        rotation = await again(
            lambda: self.refresh_tokens.rotate_refresh_token(handle, TOKEN, grace=self.scenario.grace)
        )
        return Told(rotation.outcome, rotation.handle or "", REFRESH, rotation.family or "")

    async def _refresh_token(self, family: str | None) -> Told:
        return await self._issued(
            REFRESH, lambda: self.refresh_tokens.store_refresh_token(TOKEN, family=family), family
        )

    async def _reference_token(self, family: str | None) -> Told:
        return await self._issued(
            REFERENCE, lambda: self.reference_tokens.store_reference_token(ACCESS_TOKEN, family=family), family
        )

    async def _issued(self, of_type: str, store: Callable[[], Awaitable[str]], family: str | None) -> Told:
        try:
            return Told("issued", await again(store), of_type, family or "")
        except NotFound:
            return Told("refused", "", of_type, family or "")

    # Promises.

    def facts(self, state: State, command: Command, answer: Any) -> frozenset[str]:
        """Whether something was redeemed, or rotated, after a revocation had begun."""
        is_redemption = command.name == "find_one_and_update" and answer[0] is not None and answer[0]["type"] == CODE
        is_rotation = command.name == "update_one" and isinstance(command.change, list) and answer.matched_count == 1
        if not (is_redemption or is_rotation) or not any(map(_is_revoking, state.actors)):
            return state.facts
        return state.facts | {"redeemed late" if is_redemption else "rotated late"}

    def check(self, state: State) -> None:
        if not _was_disturbed(state, self.first) and len(self._live(state.rows, REFRESH)) > 1:
            raise Broken("doubled: two live refresh tokens of one family at a time")

    def check_end(self, state: State) -> None:
        disturbed = _was_disturbed(state, self.first)
        told = [each for actor in state.actors if not actor.dead for each in actor.stand.result]
        self._check_single(told)
        if not disturbed and any(row.document.get("pending") and "type" in row.document for row in state.rows):
            raise Broken("left over: a pending record that nobody will finish or discard")
        done = {each.what for each in told}
        if done & {*FULL_REVOCATIONS, "replayed"}:
            self._check_revoked(state, told, disturbed=disturbed)
        elif "refresh tokens" in done:
            self._check_refresh_tokens_revoked(state, told, disturbed=disturbed)
        elif "reference tokens" in done:
            self._check_reference_tokens_revoked(state, told, disturbed=disturbed)
        elif not any(_is_revoker(actor) for actor in state.actors):
            self._check_usable(state, told, disturbed=disturbed)
        if "code" in done and self._ask(state.rows, "redeem", self.code).what == "redeemed":
            raise Broken("survived: a code was redeemed after its removal")

    def _check_single(self, told: list[Told]) -> None:
        if [each.what for each in told].count("redeemed") > 1:
            raise Broken("doubled: a code was redeemed twice")
        if self.old:
            chained = "rotate_twice" in self.scenario.actors
            rotations = [each for each in told if each.what in ("rotated", "retried")]
            firsts = [each for each in rotations if not each.handle.startswith("chained")]
            if not chained and [each.what for each in firsts].count("rotated") > 1:
                raise Broken("doubled: a token was rotated twice")
            if not chained and len({each.handle for each in firsts}) > 1:
                raise Broken("doubled: two successors of one token were given out")

    def _check_revoked(self, state: State, told: list[Told], *, disturbed: bool) -> None:
        self._check_gone(state.rows, told, (REFRESH, REFERENCE), disturbed=disturbed)
        rows = state.rows
        for handle in self._refresh_handles(told):
            if self._ask(rows, "rotate", handle).what != "unknown":
                raise Broken("survived: a revoked refresh token is known")
        if self.code and self._ask(rows, "redeem", self.code).what == "redeemed":
            raise Broken("survived: a revoked code was redeemed")
        for family in self._fenced_families(told):
            if self._ask(rows, "issue a reference token", family).what != "refused":
                raise Broken("survived: a reference token is issued into a revoked family")
            if self._ask(rows, "issue a refresh token", family).what != "refused":
                raise Broken("survived: a refresh token is issued into a revoked family")

    def _check_refresh_tokens_revoked(self, state: State, told: list[Told], *, disturbed: bool) -> None:
        if "redeemed late" not in state.facts:
            self._check_gone(state.rows, told, (REFRESH,), disturbed=disturbed)
            for family in self._fenced_families(told):
                if self._ask(state.rows, "issue a refresh token", family).what != "refused":
                    raise Broken("survived: a refresh token is issued from what was redeemed before")
        if self.old and self._ask(state.rows, "rotate", self.old).what != "unknown":
            raise Broken("survived: a revoked refresh token is known")

    def _check_reference_tokens_revoked(self, state: State, told: list[Told], *, disturbed: bool) -> None:
        if not state.facts:
            self._check_gone(state.rows, told, (REFERENCE,), disturbed=disturbed)
            for family in self._fenced_families(told):
                if self._ask(state.rows, "issue a reference token", family).what != "refused":
                    raise Broken("survived: a reference token is issued from what was redeemed or rotated before")
        if self.old and self.scenario.grace and self.scenario.actors.count("rotate_twice") == 0:
            rotation = self._ask(state.rows, "rotate", self.old)
            if rotation.what not in ("rotated", "retried"):
                raise Broken("lost: the revocation of reference tokens revoked a refresh token")
            if self._ask(self._after, "issue a reference token", rotation.family).what != "issued":
                raise Broken("lost: nothing is issued at a refresh after the revocation of reference tokens")

    def _check_usable(self, state: State, told: list[Told], *, disturbed: bool) -> None:
        outcomes = [each.what for each in told]
        if not disturbed and "refused" in outcomes and "code" not in outcomes:
            raise Broken("lost: a token was refused, and nothing was revoked")
        if not self.old:
            return
        if not disturbed and "rotated" not in outcomes and "rotate" in self.scenario.actors:
            raise Broken("lost: nobody's rotation was the one")
        if not self.scenario.grace or "rotate_twice" in self.scenario.actors:
            return
        rotation = self._ask(state.rows, "rotate", self.old)
        handles = {each.handle for each in told if each.what in ("rotated", "retried")}
        if rotation.what not in ("rotated", "retried") or not handles <= {rotation.handle}:
            raise Broken("lost: inside the grace, the old handle does not lead to the successor")
        if len(self._live(self._after, REFRESH)) != 1 and not disturbed:
            raise Broken("lost: after a retry, there is not one live refresh token")
        if self._ask(self._after, "issue a reference token", rotation.family).what != "issued":
            raise Broken("lost: nothing can be issued at the refresh")
        if self._ask(self._after, "rotate", rotation.handle).what != "rotated":
            raise Broken("lost: the successor can't be used")

    def _check_gone(self, rows: Rows, told: list[Told], types: tuple[str, ...], *, disturbed: bool) -> None:
        """Nothing of these types is live, but for what belongs to nobody since its maker died or missed an answer."""
        known = {grant_key(each.handle, each.type) for each in told if each.handle} | {grant_key(self.old, REFRESH)}
        for row in self._live(rows, *types):
            if not disturbed or row.document["_id"].partition("|")[2] in known:
                raise Broken(f"survived: a live {row.document['type']} after its revocation")

    def _refresh_handles(self, told: list[Told]) -> list[str]:
        handles = {each.handle for each in told if each.handle and each.type == REFRESH}
        return sorted(handles | ({self.old} if self.old else set()))

    def _fenced_families(self, told: list[Told]) -> list[str]:
        families = {each.family for each in told if each.family} | ({self.family} if self.family else set())
        # A family that the server has named is closed by its own removal alone.
        is_closed = any(each.what in ("family", "handle", "replayed") for each in told)
        return sorted(family for family in families if is_closed or is_anchored(family))

    def _live(self, rows: Rows, *types: str) -> list[Row]:
        return [row for row in rows if row.document.get("type") in types and _is_live(row.document)]

    def _ask(self, rows: Rows, what: str, name: str) -> Told:
        """Do one thing after all is done; what it leaves is in `_after`."""
        asked = f"{what}: {name}"
        if (rows, asked) not in self._probes:
            if asked not in self._scripts:
                self._scripts[asked] = Script(asked, lambda: self._probe(what, name))
            self._probes[rows, asked] = run_alone(self.server, rows, self._scripts[asked])
        self._after, told = self._probes[rows, asked]
        return told

    async def _probe(self, what: str, name: str) -> Told:
        match what:
            case "rotate":
                return await self._rotation(name)
            case "redeem":
                return Told((await self.codes.redeem_authorization_code(name)).outcome)
            case "issue a reference token":
                return await self._reference_token(name)
            case _:
                return await self._refresh_token(name)


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """Call, and once more when there was no answer."""
    try:
        return await call()
    except StorageUnavailable:
        return await call()


def _place_by_family(row: Row) -> tuple[int, int]:
    # As the index by_family has it: absent, false, true.
    return [None, False, True].index(row.document.get("anchor")), row.number


ORDERS: Mapping[str, Callable[[Mapping[str, Any]], Order]] = {
    # What is added during a pass lies behind it, as where it works on a snapshot.
    "backwards": lambda query: lambda row: (-row.number,),
    # What is added lies before it.
    "forwards": lambda query: lambda row: (row.number,),
    # A record that changes moves in the index.
    "by anchor": lambda query: _place_by_family if "family" in query else lambda row: (row.number,),
}


def _is_live(document: Mapping[str, Any]) -> bool:
    return not document.get("pending") and document.get("consumed_time") is None


def _is_revoker(actor: Actor) -> bool:
    return "revoke" in actor.stand.script.name


def _is_revoking(actor: Actor) -> bool:
    script = actor.stand.script
    return _is_revoker(actor) and (actor.stand is not script.begin or actor.place is not None)


def _was_disturbed(state: State, first: State) -> bool:
    return (state.crashes, state.losses) != (first.crashes, first.losses)


def explore_grants(scenario: Scenario, parts: Parts = LIBRARY) -> int:
    """Run every interleaving of a scenario; the number of different states."""
    with named_by_scripts():
        model = Grants(scenario, parts)
        return explore(model, model.server, model.first)
