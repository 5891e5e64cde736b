"""One process of a server: many tasks that all do the same thing at the moment that they are told.

Its first line on stdin is the settings; every further one is a round, answered by one line on stdout.
"""

import asyncio
import json
import os
import sys
import time
from datetime import timedelta
from typing import Any

from mongostore import LocalMasterKey, MongoStore
from mongostore.testing.factories import a_refresh_token


async def consume(store: MongoStore, order: dict[str, Any]) -> object:
    return await store.persisted_grants.consume(order["handle"]) is not None


async def redeem(store: MongoStore, order: dict[str, Any]) -> object:
    return (await store.authorization_codes.redeem_authorization_code(order["handle"])).outcome


async def rotate(store: MongoStore, order: dict[str, Any]) -> object:
    grace = timedelta(seconds=order["grace_seconds"])
    rotation = await store.refresh_tokens.rotate_refresh_token(order["handle"], a_refresh_token(), grace=grace)
    return rotation.outcome, rotation.handle


async def look(store: MongoStore, order: dict[str, Any]) -> object:
    """When it began and ended, by the monotonic clock, which is that of the whole machine; and in which process."""
    began = time.monotonic()
    await store.persisted_grants.get(order["handle"])
    return os.getpid(), began, time.monotonic()


WORK = {"consume": consume, "redeem": redeem, "rotate": rotate, "look": look}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    settings = json.loads(sys.stdin.readline())
    master_key = LocalMasterKey.from_text(settings["master_key"])
    work, tasks = WORK[settings["work"]], range(settings["tasks"])
    async with MongoStore(settings["uri"], database=settings["database"], master_key=master_key) as store:
        # A connection for each task, and the keys: nobody starts late for want of them.
        await asyncio.gather(*(work(store, {"handle": "nothing", "grace_seconds": 0}) for _ in tasks))
        await store.authorization_codes.get_authorization_code(settings["seed"])
        say("ready")
        while line := sys.stdin.readline():
            order = json.loads(line)
            # The monotonic clock is that of the whole machine.
            await asyncio.sleep(order["start_at"] - time.monotonic())
            say(json.dumps(await asyncio.gather(*(work(store, order) for _ in tasks))))


asyncio.run(main())
