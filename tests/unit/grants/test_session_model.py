"""No interleaving of a session's end with sign-ins, refreshes and renewals breaks a promise; see `session_model`."""

import pytest
from interleavings import Broken
from session_model import SessionScenario, explore_sessions

from mongostore.sessions.logouts import Logouts

SCENARIOS = [
    *(SessionScenario(("end", rival), crashes=1) for rival in ("renew", "sign_in", "issue", "refresh", "retrieve")),
    SessionScenario(("end", "renew", "sign_in")),
    SessionScenario(("renew", "retrieve"), losses=1),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_interleaving_breaks_a_promise_about_sessions(scenario):
    """What was granted in a session ends with it, and nothing brings it back."""
    assert explore_sessions(scenario) > 10


class TellsFirst(Logouts):
    async def carry_out_all(self, logouts, revoke, tell):
        attempts = [(logout, await self._told(logout, tell)) for logout in logouts]
        await revoke()
        for logout, attempt in attempts:
            await self._settle(logout, *attempt, at_once=True)
        await revoke()


class RevokesBeforeTellingOnly(Logouts):
    async def carry_out_all(self, logouts, revoke, tell):
        await revoke()
        for logout in logouts:
            await self._settle(logout, *await self._told(logout, tell), at_once=True)


class RevokesNothing(Logouts):
    async def carry_out_all(self, logouts, revoke, tell):
        for logout in logouts:
            await self._settle(logout, *await self._told(logout, tell), at_once=True)


@pytest.mark.parametrize(
    ("mutation", "rival"), [(TellsFirst, "retrieve"), (RevokesBeforeTellingOnly, "sign_in"), (RevokesNothing, "issue")]
)
def test_a_changed_order_of_an_end_breaks_a_promise(mutation, rival):
    """Each step of an end stands where it stands for a reason."""
    with pytest.raises(Broken, match="survived"):
        explore_sessions(SessionScenario(("end", rival)), mutation)
