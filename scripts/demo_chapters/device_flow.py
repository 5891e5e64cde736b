"""A television that asks, a telephone that answers."""

import asyncio
from datetime import timedelta

from demo_chapters.stage import SUBJECT, Chapter, Stage
from mongostore.models import DeviceCode
from mongostore.testing import FakeClock

DEVICE_CODE = "device-code-of-the-demo-0123456789"
USER_CODE = "WDJB-MJHT"
INTERVAL = timedelta(seconds=5)


async def show(stage: Stage) -> None:
    """Ask, poll too fast, approve, and fetch the tokens from two nodes at once."""
    clock = FakeClock()
    async with stage.store(clock=clock) as store, stage.store(clock=clock) as node:
        flow, teller = store.device_flow, stage.teller
        asked = DeviceCode(
            creation_time=clock.now(),
            lifetime=300,
            client_id="living-room-tv",
            requested_scopes=["openid", "catalog.read"],
        )
        await flow.store_device_authorization(DEVICE_CODE, USER_CODE, asked)
        stored = await stage.stored_bytes()
        teller.claim(
            f"the television shows {USER_CODE}; neither of its codes is stored",
            DEVICE_CODE.encode() not in stored and USER_CODE.encode() not in stored,
            "hashes only",
        )
        polls = [await flow.register_poll(DEVICE_CODE, INTERVAL) for _ in range(2)]
        teller.claim(
            f"it polls, and again within {INTERVAL.seconds} s", polls == [True, False], "the second: slow_down"
        )
        clock.advance(INTERVAL)
        polls = [await flow.register_poll(DEVICE_CODE, INTERVAL)]
        teller.claim(f"{INTERVAL.seconds} s later it may", polls == [True], "ok")
        teller.claim(
            "nobody has answered yet: there is nothing to fetch",
            await flow.consume_by_device_code(DEVICE_CODE) is None,
            "authorization_pending",
        )

        found = await flow.find_by_user_code(USER_CODE)
        teller.claim("Alice types the code, and sees who asks", found == asked, found.client_id if found else "")
        answered = asked.model_copy(
            update={"is_authorized": True, "subject": SUBJECT, "authorized_scopes": ["openid", "catalog.read"]}
        )
        await flow.update_by_user_code(USER_CODE, answered)
        taken = await asyncio.gather(*(each.device_flow.consume_by_device_code(DEVICE_CODE) for each in (store, node)))
        winners = [each for each in taken if each is not None]
        teller.claim(
            "she approves; two nodes fetch the answer at once: a single winner",
            winners == [answered],
            f"{len(winners)} of {len(taken)}, for {winners[0].subject_id if winners else None}",
        )
        teller.claim("the codes are used up", await flow.find_by_user_code(USER_CODE) is None, "absent for everybody")


DEVICE_FLOW = Chapter(
    "A device without a keyboard",
    "A device polls until the user has answered elsewhere (RFC 8628). Who polls too fast is told; the answer goes to one "
    "request only.",
    show,
)
