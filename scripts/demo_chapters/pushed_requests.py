"""Parameters that a client pushes before the browser comes."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

from demo_chapters.stage import Chapter, Stage, short
from mongostore import AlreadyExists
from mongostore.models import PushedAuthorizationRequest

CONSUMERS = 20
LOGIN_HINT = "alice@shop.example"


async def show(stage: Stage) -> None:
    """Push, look, and consume from many tasks at once."""
    reference = token_urlsafe(32)
    pushed = PushedAuthorizationRequest(
        reference_value_hash=hashlib.sha256(reference.encode()).hexdigest(),
        expires_at_utc=datetime.now(UTC) + timedelta(minutes=1),
        parameters={"client_id": ["shop-web"], "scope": ["openid orders.read"], "login_hint": [LOGIN_HINT]},
    )
    hashed = pushed.reference_value_hash
    async with stage.store() as store:
        requests = store.pushed_authorization_requests
        await requests.store(pushed)
        stored = await stage.stored_bytes()
        stage.teller.claim(
            f"the client pushes its parameters, and gets urn:…:{short(reference)}",
            LOGIN_HINT.encode() not in stored and hashed.encode() not in stored,
            "parameters: sealed",
        )
        try:
            await requests.store(pushed)
            doubled = True
        except AlreadyExists:
            doubled = False
        stage.teller.claim("the same reference can't be pushed twice", not doubled, "AlreadyExists")
        stage.teller.claim(
            "looking does not use it up",
            await requests.get_by_hash(hashed) == pushed,
            f"{len(pushed.parameters)} parameters",
        )
        taken = await asyncio.gather(*(requests.consume_by_hash(hashed) for _ in range(CONSUMERS)))
        winners = [each for each in taken if each is not None]
        stage.teller.claim(
            f"{CONSUMERS} tasks consume it at once: a single winner",
            winners == [pushed],
            f"{len(winners)} of {len(taken)}",
        )
        stage.teller.claim("afterwards it is not there", await requests.get_by_hash(hashed) is None, "None")


PUSHED_REQUESTS = Chapter(
    "A pushed request is used once",
    "With pushed authorization requests (RFC 9126), the parameters do not travel through the browser, only a reference "
    "does, and it works once.",
    show,
)
