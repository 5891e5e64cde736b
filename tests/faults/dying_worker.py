"""Processes of a server that are killed at one step of what they do.

Each line on stdin says what and where, as JSON; it is done in a fork, whose exit code is the answer on stdout. So the
imports, which take longer than all the rest, are done once.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from mongostore import LocalMasterKey, MongoStore
from mongostore.grants.revocation import Revocation
from mongostore.models import RemoveSessionsContext, UserSession
from mongostore.mongo.grant_records import MongoGrantRecordStore
from mongostore.mongo.sessions import MongoServerSideSessionStore
from mongostore.testing.factories import a_refresh_token


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(method: str, when: str, owner: type = MongoGrantRecordStore, calls: int = 1) -> None:
    """Make the process die before a call of a method of a store, while it is on its way, or after it."""
    call = getattr(owner, method)
    left = calls

    async def last_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left:
            return await call(self, *args, **kwargs)
        if when == "during":
            # Long enough for the command to be sent, not for its answer to be heard.
            asyncio.get_running_loop().call_later(0.0005, die)
        if when != "before":
            await call(self, *args, **kwargs)
        die()
        return None

    setattr(owner, method, last_call)


async def end_session(store: MongoStore, given: dict[str, Any]) -> None:
    """End a session, with a callback that issues one more token; the process dies in one of the steps."""
    owners = {"remove": Revocation, "tell": Callback}
    die_at(given["method"], given["when"], owners.get(given["method"], MongoServerSideSessionStore), given["calls"])
    context = RemoveSessionsContext(subject_id="alice", session_id="s1")
    await store.sessions.end(context, on_logout=Callback(store).tell)


class Callback:
    def __init__(self, store: MongoStore) -> None:
        self._store = store

    async def tell(self, _: UserSession) -> list[str]:
        await self._store.refresh_tokens.store_refresh_token(a_refresh_token())
        return ["dead"]


async def work(given: dict[str, Any]) -> None:
    master_key = LocalMasterKey.from_text(given["master_key"])
    async with MongoStore(given["uri"], database=given["database"], master_key=master_key) as store:
        if given["work"] == "end session":
            await end_session(store, given)
            return
        die_at(given["method"], given["when"])
        if given["work"] == "rotate":
            grace = timedelta(seconds=given["grace_seconds"])
            await store.refresh_tokens.rotate_refresh_token(given["handle"], a_refresh_token(), grace=grace)
        else:
            await store.authorization_codes.redeem_authorization_code(given["handle"])


def main() -> None:
    while line := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            asyncio.run(work(json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


main()
