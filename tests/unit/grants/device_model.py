"""Device requests that are answered and consumed while all that the user granted is revoked, in every interleaving.

One poll consumes a request that was answered; and a request that was answered before a revocation began is not consumed
after it has returned. One that is answered while it runs may count as answered after it.
"""

from dataclasses import dataclass
from typing import Any

from interleavings import Actor, Broken, Model, Script, State, explore, run_alone
from rotation_model import ORDERS, again
from stepped_server import Command, Server
from stepped_stores import LIBRARY, SteppedStores

from mongostore.errors import NotFound
from mongostore.testing.factories import a_device_code, an_answered_device_code

UNANSWERED = a_device_code()
ANSWERED = an_answered_device_code()


@dataclass(frozen=True)
class DeviceScenario:
    """Who is about at once, each named by a method of `Devices`."""

    actors: tuple[str, ...]
    answered: bool = False
    crashes: int = 0
    losses: int = 0

    def __str__(self) -> str:
        given = "answered" if self.answered else "asked"
        return f"{given}: {', '.join(self.actors)} ({self.crashes} crashes, {self.losses} losses)"


class Devices(Model):
    """One scenario: the stores, the callers, and what must hold of them."""

    def __init__(self, scenario: DeviceScenario, stores: SteppedStores) -> None:
        self.scenario = scenario
        self.server = Server(ORDERS["backwards"])
        self.stores = stores
        rows, _ = run_alone(self.server, (), Script("given", self.given))
        actors = [Script(f"{number} {name}", getattr(self, name)) for number, name in enumerate(scenario.actors)]
        self.first = State(rows, tuple(Actor(each.begin) for each in actors), (), scenario.crashes, scenario.losses)
        self._late_poll = Script("late poll", self.poll)

    async def given(self) -> None:
        await self.stores.device_flow.store_device_authorization(
            "device", "user", ANSWERED if self.scenario.answered else UNANSWERED
        )

    async def answer(self) -> str:
        try:
            await again(lambda: self.stores.device_flow.update_by_user_code("user", ANSWERED))
        except NotFound:
            return "gone"
        return "answered"

    async def poll(self) -> str:
        found = await again(lambda: self.stores.device_flow.consume_by_device_code("device"))
        return "consumed" if found else "wait"

    async def revoke(self) -> str:
        await again(lambda: self.stores.revocation.remove(subject_id="alice"))
        return "revoked"

    def facts(self, state: State, command: Command, answer: Any) -> frozenset[str]:
        """Whether the request was answered after a revocation had begun, or consumed after one had returned."""
        revokers = [actor for actor in state.actors if "revoke" in actor.stand.script.name]
        if command.name == "update_one" and answer.matched_count and any(map(_has_begun, revokers)):
            return state.facts | {"answered late"}
        is_over = any(actor.stand.result == "revoked" for actor in revokers)
        if command.name == "find_one_and_update" and answer[0] is not None and is_over:
            return state.facts | {"consumed late"}
        return state.facts

    def check(self, state: State) -> None:
        if "consumed late" in state.facts and "answered late" not in state.facts:
            raise Broken("survived: a request that was answered before a revocation was consumed after it")

    def check_end(self, state: State) -> None:
        results = [actor.stand.result for actor in state.actors if not actor.dead]
        disturbed = (state.crashes, state.losses) != (self.first.crashes, self.first.losses)
        if results.count("consumed") > 1:
            raise Broken("doubled: two polls consumed one request")
        late = run_alone(self.server, state.rows, self._late_poll)[1]
        if late == "consumed" and "consumed" in results:
            raise Broken("doubled: a consumed request was consumed again")
        if late == "consumed" and "revoked" in results and "answered late" not in state.facts:
            raise Broken("survived: a request that was answered before a revocation was consumed after it")
        is_answered = self.scenario.answered or "answered" in results
        if (
            "revoke" not in self.scenario.actors
            and is_answered
            and not disturbed
            and {late, *results} <= {"wait", "answered"}
        ):
            raise Broken("lost: an answered request is consumed by nobody")


def _has_begun(actor: Actor) -> bool:
    return actor.stand is not actor.stand.script.begin or actor.place is not None


def explore_devices(scenario: DeviceScenario, stores: SteppedStores | None = None) -> int:
    """Run every interleaving of a scenario; the number of different states."""
    model = Devices(scenario, stores or SteppedStores(LIBRARY))
    return explore(model, model.server, model.first)
