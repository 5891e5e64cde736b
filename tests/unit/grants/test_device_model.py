"""No interleaving of answers, polls and revocations breaks a promise about device requests; see `device_model`."""

import pytest
from device_model import DeviceScenario, explore_devices
from interleavings import Broken
from stepped_stores import LIBRARY, SteppedStores

SCENARIOS = [
    DeviceScenario(actors, answered, crashes, losses)
    for actors in (("poll", "poll"), ("poll", "revoke"), ("answer", "poll", "revoke"), ("poll", "poll", "revoke"))
    for answered in (False, True)
    for crashes, losses in ((1, 0), (0, 1))
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_interleaving_breaks_a_promise_about_device_requests(scenario):
    """One poll gets the request, and none after a revocation what was answered before it."""
    assert explore_devices(scenario) > 5


def _without_devices():
    stores = SteppedStores(LIBRARY)
    stores.revocation._requests = ()
    return stores


def _consumed_unawares():
    stores = SteppedStores(LIBRARY)

    async def consume(device_code):
        found = await stores.device_flow.find_by_device_code(device_code)
        if found is not None and found.is_authorized:
            await stores.device_flow.remove_by_device_code(device_code)
            return found
        return None

    stores.device_flow.consume_by_device_code = consume
    return stores


def _answered_by_upsert():
    stores = SteppedStores(LIBRARY)

    async def update(user_code, data):
        await stores.device_flow.remove_by_device_code("device")
        await stores.device_flow.store_device_authorization("device", user_code, data)

    stores.device_flow.update_by_user_code = update
    return stores


@pytest.mark.parametrize(
    ("mutated", "actors", "consequence"),
    [
        (_without_devices, ("poll", "revoke"), "survived"),
        (_consumed_unawares, ("poll", "poll"), "doubled"),
        (_answered_by_upsert, ("answer", "poll", "poll"), "doubled"),
    ],
)
def test_a_changed_order_of_steps_breaks_a_promise_about_device_requests(mutated, actors, consequence):
    """Each step stands where it stands for a reason."""
    with pytest.raises(Broken, match=consequence):
        explore_devices(DeviceScenario(actors, answered=True), mutated())
