"""Rotation in every interleaving: the real `RefreshTokens`, over a store whose every call is a step of its own.

Actors (rotators, a revoker, and after them the client who asks again) run one store call at a time, in every order, with
a crash between any two calls. Removal works as a database's does: one record at a time, in passes, going by what is added
behind it. Each state that comes out differently is explored once. What must hold is in `World`.
"""

from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from mongostore.grants import refresh_tokens as module
from mongostore.grants.outcomes import Rotation
from mongostore.grants.refresh_tokens import RefreshTokens
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.memory.grant_records import MemoryGrantRecordStore
from mongostore.memory.grant_table import GrantTable
from mongostore.memory.persisted_grants import MemoryPersistedGrantStore
from mongostore.models import PersistedGrant, PersistedGrantType, RefreshToken
from mongostore.stores.grant_records import GrantRecord
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_refresh_token

OLD = "old"
FAMILY = "family"
GRACE = timedelta(seconds=30)
NO_GRACE = timedelta(0)
TOKEN = a_refresh_token()
CLOCK = FakeClock()


class Broken(AssertionError):
    """A promise of rotation does not hold."""


class Step:
    """Suspends an actor until the explorer lets it go on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class QuickSerializer(GrantSerializer[RefreshToken]):
    """All tokens here say the same, so that each is written once and none is read."""

    written: ClassVar[dict[str, PersistedGrant]] = {}

    def grant(self, value, key, **columns):
        if key not in self.written:
            self.written[key] = super().grant(value, key, **columns)
        return self.written[key]

    def value(self, grant):
        return TOKEN


class Actor:
    """One task; `seen` is all that it learned so far, `place` how far its removal got: so they say where it stands."""

    def __init__(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self.name = name
        self.work = work
        self.seen: list[object] = []
        self.place: object = None
        self.result: Any = None
        self.state = "running"

    def step(self) -> None:
        try:
            self.work.send(None)
        except StopIteration as end:
            self.result, self.state = end.value, "done"

    def crash(self) -> None:
        self.work.close()
        self.state = "crashed"


class SteppedRecords(MemoryGrantRecordStore):
    """The store in memory, each call a step; the attributes are what mutations change."""

    removal_passes: int | None = None
    removal_sees_pending = True
    descending = False

    def __init__(self, table: GrantTable, world: "World") -> None:
        super().__init__(table)
        self._world = world
        self._order: dict[str, int] = {}

    async def _told(self, answer: Coroutine[Any, Any, Any]) -> Any:
        try:
            await Step()
            result = await answer
        finally:
            answer.close()
        self._world.learn(_summary(result))
        return result

    async def insert(self, record, *, pending_until=None):
        return await self._told(super().insert(record, pending_until=pending_until))

    async def find(self, key):
        return await self._told(super().find(key))

    async def succeed(self, key, **link):
        return await self._told(super().succeed(key, **link))

    async def make_live(self, key):
        return await self._told(super().make_live(key))

    async def discard_pending(self, key):
        return await self._told(super().discard_pending(key))

    async def remove_family(self, family):
        return await self.remove_in_passes(lambda record: record.family == family)

    async def remove_in_passes(self, matches: Callable[[GrantRecord], bool]) -> int:
        """As `mongo/removal.py` does it, on a server that deletes one record after the other."""
        removed = passes = 0
        while True:
            await Step()
            removed_before = removed
            for key in (deletion := self._deletion(matches, later=passes > 0)):
                removed += 1
                self._world.stand((passes > 0, self._place(key)))
                try:
                    await Step()
                except GeneratorExit:
                    # Who asked is dead; the server finishes the command.
                    list(deletion)
                    raise
            passes += 1
            self._world.stand((removed > removed_before,))
            if removed == removed_before or passes == self.removal_passes:
                return removed

    def _deletion(self, matches: Callable[[GrantRecord], bool], *, later: bool) -> Iterator[str]:
        """One pass: never back, so that what is added behind it escapes."""
        place = -1_000
        while True:
            found = [
                (self._place(key), key)
                for key, row in self._table.rows.items()
                if self._place(key) > place
                and matches(row.record)
                and (not later or row.record.predecessor is not None)
                and (self.removal_sees_pending or not row.pending)
            ]
            if not found:
                return
            place, key = min(found)
            del self._table.rows[key]
            yield key

    def _place(self, key: str) -> int:
        # An index may hold a successor before or after its predecessor.
        place = self._order.setdefault(key, len(self._order))
        return -place if self.descending else place


class SteppedGrants(MemoryPersistedGrantStore):
    """Raw removal in steps, too."""

    def __init__(self, table: GrantTable, records: SteppedRecords) -> None:
        super().__init__(table)
        self._records = records

    async def remove(self, key):
        return await self._records._told(super().remove(key))

    async def remove_all(self, filter):  # noqa: A002 - the reference's name
        return await self._records.remove_in_passes(lambda record: filter.matches(record.grant))


@dataclass(frozen=True)
class Scenario:
    """Who is about at once. `revoke` names a method of `World`; `chained` lets the first rotator rotate twice."""

    grace: timedelta
    rotators: int = 2
    revoke: str | None = None
    descending: bool = False
    chained: bool = False
    crashes: int = 1
    family: str | None = FAMILY


@dataclass
class World:
    """One run: the table, the actors, and what must hold of them."""

    scenario: Scenario
    records_class: type[SteppedRecords] = SteppedRecords
    tokens_class: type[RefreshTokens] = RefreshTokens
    actors: list[Actor] = field(default_factory=list)
    crashes: int = 0
    current: Actor | None = None
    handles: int = 0

    def __post_init__(self) -> None:
        table = GrantTable(CLOCK, timedelta(days=1))
        self.rows = table.rows
        self.records = self.records_class(table, self)
        self.records.descending = self.scenario.descending
        self.tokens = self.tokens_class(self.records, SteppedGrants(table, self.records), CLOCK)
        self.tokens._serializer = QuickSerializer(PersistedGrantType.RefreshToken, RefreshToken)
        key = self.tokens._serializer.key(OLD)
        table.put(GrantRecord(self.tokens._grant(TOKEN, key), family=self.scenario.family))
        for number in range(self.scenario.rotators):
            self._add(f"rotator {number}", self._rotations(chained=self.scenario.chained and number == 0))
        if self.scenario.revoke:
            self._add("revoker", getattr(self, self.scenario.revoke)())

    def _add(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self.actors.append(Actor(name, work))
        self.perform(("step", len(self.actors) - 1))

    async def _rotations(self, *, chained: bool) -> Rotation:
        rotation = await self.tokens.rotate_refresh_token(OLD, TOKEN, grace=self.scenario.grace)
        if chained and rotation.handle:
            await self.tokens.rotate_refresh_token(rotation.handle, TOKEN, grace=self.scenario.grace)
        return rotation

    async def family(self) -> int:
        return await self.records.remove_family(FAMILY)

    async def subject(self) -> int:
        return await self.tokens.remove_refresh_tokens("alice", "web")

    async def handle(self) -> None:
        await self.tokens.remove_refresh_token(OLD)

    def new_handle(self) -> str:
        # Named by its maker, so that the same state has the same names however it was reached.
        self.handles += 1
        maker = self.current.name if self.current else "the client"
        return f"{maker}, {len(self.current.seen) if self.current else self.handles}"

    def learn(self, what: object) -> None:
        if self.current:
            self.current.seen.append(what)

    def stand(self, place: object) -> None:
        if self.current:
            self.current.place = place

    def choices(self) -> list[tuple[str, int]]:
        running = [number for number, actor in enumerate(self.actors) if actor.state == "running"]
        crashes = running if self.crashes < self.scenario.crashes else []
        return [("step", number) for number in running] + [("crash", number) for number in crashes]

    def perform(self, choice: tuple[str, int]) -> None:
        what, number = choice
        self.current = self.actors[number]
        if what == "step":
            self.current.step()
        else:
            self.current.crash()
            self.crashes += 1
        self.current = None
        if len(self.live()) > 1:
            raise Broken("doubled: two live tokens of one family at a time")

    def state(self) -> object:
        rows = tuple(sorted((key, row.pending, _summary(row.record)) for key, row in self.rows.items()))
        return rows, tuple((actor.state, actor.place, tuple(actor.seen)) for actor in self.actors)

    def live(self) -> list[str]:
        now = CLOCK.now()
        return [key for key, row in self.rows.items() if row.is_present(now) and row.record.grant.consumed_time is None]

    def check_end(self) -> None:
        """Everybody is done, or dead: do the promises hold, and can the client go on?"""
        rotations = [a.result for a in self.actors if a.state == "done" and isinstance(a.result, Rotation)]
        outcomes = [rotation.outcome for rotation in rotations]
        handles = {rotation.handle for rotation in rotations if rotation.handle}
        revoker = self.actors[-1] if self.scenario.revoke else None
        if outcomes.count("rotated") > 1 or len(handles) > 1:
            raise Broken("doubled: two successors of one token were given out")
        if any(row.pending for row in self.rows.values()) and not self.crashes:
            raise Broken("left over: a pending record that nobody will finish or discard")
        if (revoker and revoker.state == "done") or "replayed" in outcomes:
            self._check_revoked(handles)
        elif revoker is None:
            self._check_usable(outcomes, handles)

    def _check_revoked(self, handles: set[str]) -> None:
        if self.live():
            raise Broken("survived: a live token after its revocation")
        for handle in (OLD, *handles):
            if self._client_asks(handle).outcome != "unknown":
                raise Broken("survived: a revoked handle is known")
        if self.live():
            raise Broken("survived: a client brought a revoked token back")

    def _check_usable(self, outcomes: list[str], handles: set[str]) -> None:
        if not self.crashes and outcomes.count("rotated") != 1:
            raise Broken("lost: nobody's rotation was the one")
        if not self.scenario.grace or self.scenario.chained:
            return
        again = self._client_asks(OLD)
        if again.outcome not in ("rotated", "retried") or not handles <= {again.handle}:
            raise Broken("lost: inside the grace, the old handle does not lead to the successor")
        if len(self.live()) != 1 or self._client_asks(str(again.handle)).outcome != "rotated":
            raise Broken("lost: the successor can't be used")

    def _client_asks(self, handle: str) -> Rotation:
        client = Actor("client", self.tokens.rotate_refresh_token(handle, TOKEN, grace=self.scenario.grace))
        while client.state == "running":
            client.step()
        assert isinstance(client.result, Rotation)
        return client.result


def _summary(result: object) -> object:
    if isinstance(result, GrantRecord):
        return (result.grant.key, result.grant.consumed_time is not None, result.successor_key or "")
    return result


def explore(monkeypatch: pytest.MonkeyPatch, scenario: Scenario, **variant: Any) -> int:
    """Run every interleaving and crash of a scenario; the number of different states."""
    reached: set[object] = set()
    unexplored: list[tuple[tuple[str, int], ...]] = [()]
    while unexplored:
        path = unexplored.pop()
        world = World(scenario, **variant)
        monkeypatch.setattr(module, "new_handle", world.new_handle)
        for choice in path:
            world.perform(choice)
        while (state := world.state()) not in reached:
            reached.add(state)
            choices = world.choices()
            if not choices:
                world.check_end()
                break
            unexplored += [(*path, choice) for choice in choices[1:]]
            path = (*path, choices[0])
            world.perform(choices[0])
        for actor in world.actors:
            actor.work.close()
    return len(reached)
