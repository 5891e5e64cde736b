"""Rotation: a lost response is forgiven, a replay is not."""

import asyncio
from collections import Counter
from datetime import timedelta

from demo_chapters.stage import Chapter, Stage, a_refresh_token, short
from mongostore.models import Claim, Token

RETRIERS = 50
GRACE = timedelta(seconds=30)


async def show_retry(stage: Stage) -> None:
    """Rotate, lose the response, ask again; then ask from many tasks at once."""
    async with stage.store() as store:
        tokens = store.refresh_tokens
        first = await tokens.store_refresh_token(a_refresh_token())
        rotated = await tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        stage.teller.claim(
            f"the token {short(first)} is used, and gets a successor",
            rotated.outcome == "rotated",
            f"{rotated.outcome}: {short(str(rotated.handle))}",
        )
        retried = await tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        stage.teller.claim(
            "the response is lost, and the client asks again",
            retried.outcome == "retried" and retried.handle == rotated.handle,
            f"{retried.outcome}: {short(str(retried.handle))}, the same",
        )
        shared = await tokens.store_refresh_token(a_refresh_token())
        answers = await asyncio.gather(
            *(tokens.rotate_refresh_token(shared, a_refresh_token(), grace=GRACE) for _ in range(RETRIERS))
        )
        outcomes = Counter(answer.outcome for answer in answers)
        handles = {answer.handle for answer in answers}
        stage.teller.claim(
            f"{RETRIERS} tasks rotate one token at once: one successor",
            outcomes == {"rotated": 1, "retried": RETRIERS - 1} and len(handles) == 1,
            f"rotated: {outcomes['rotated']}, retried: {outcomes['retried']}",
        )


async def show_replay(stage: Stage) -> None:
    """Rotate twice, then come with the first token, as a thief would."""
    async with stage.store() as store:
        tokens, family = store.refresh_tokens, "family-of-the-demo"
        grants = stage.raw["grants"]
        stolen = handle = await tokens.store_refresh_token(a_refresh_token(), family=family)
        access = await store.reference_tokens.store_reference_token(_reference_token(), family=family)
        for _ in range(2):
            handle = str((await tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)).handle)
        before = await grants.count_documents({"family": family})
        stage.teller.claim(
            "a token is used, and so is its successor",
            await tokens.get_refresh_token(handle) is not None,
            f"{before} records, one family",
        )
        replayed = await tokens.rotate_refresh_token(stolen, a_refresh_token(), grace=GRACE)
        after = await grants.count_documents({"family": family})
        stage.teller.claim(
            "a thief comes with the first one, within the grace",
            replayed.outcome == "replayed" and replayed.handle is None,
            f"{replayed.outcome}, and no handle",
        )
        stage.teller.claim("the family is gone", after == 0, f"{before} records before, {after} after")
        stage.teller.claim(
            "nothing of it works any more, for nobody",
            await tokens.get_refresh_token(handle) is None
            and await store.reference_tokens.get_reference_token(access) is None,
            "refresh and access token: none",
        )


def _reference_token() -> Token:
    token = a_refresh_token()
    return Token(
        creation_time=token.creation_time,
        lifetime=3600,
        client_id=token.client_id,
        issuer="https://id.shop.example",
        audiences=["orders"],
        claims=[*token.subject.claims, Claim("scope", "orders.read")],
    )


RETRY = Chapter(
    "A lost response costs nothing",
    f"A refresh token is used once. Who repeats the request within the grace (here {GRACE.seconds} s) gets the same "
    "successor, not an error and not a second one.",
    show_retry,
)
REPLAY = Chapter(
    "A replay ends the family",
    "A used token that comes again after its successor was used is in two hands: all that was issued from it is revoked "
    "(RFC 9700, section 4.14).",
    show_replay,
)
