"""A code as MongoDB holds it, and who gets it."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from demo_chapters.stage import NONCE, Chapter, Stage, an_authorization_code, short
from mongostore import PayloadUnreadable
from mongostore.grants.handles import grant_key
from mongostore.models import PersistedGrantType

REDEEMERS = 50
_ENVELOPE = {"version": 1, "data key": 16, "nonce": 24}
_TAG_BYTES = 16
_HEX_SHOWN = 8


async def show_sealed(stage: Stage) -> None:
    """Store a code, look at its document, and move its payload to another one."""
    async with stage.store() as store:
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        document = await _document(stage, handle)
        stage.teller.remark(f"The server hands out the code {short(handle)}; MongoDB holds this:")
        for name, value in document.items():
            stage.teller.field(name, _shown(value))
        stored = await stage.stored_bytes()
        stage.teller.claim("the code itself is nowhere in the database", handle.encode() not in stored, "hash only")
        stage.teller.claim("neither is what it stands for", NONCE.encode() not in stored, "nonce, challenge, claims")

        other = await store.authorization_codes.store_authorization_code(an_authorization_code())
        await stage.raw["grants"].update_one(
            {"_id": (await _document(stage, other))["_id"]}, {"$set": {"payload": document["payload"]}}
        )
        try:
            await store.authorization_codes.get_authorization_code(other)
            opened = True
        except PayloadUnreadable:
            opened = False
        stage.teller.claim("a payload that is copied to another record does not open", not opened, "PayloadUnreadable")


async def show_single_use(stage: Stage) -> None:
    """Redeem one code from many tasks at once."""
    async with stage.store() as store:
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        began = time.perf_counter()
        answers = await asyncio.gather(
            *(store.authorization_codes.redeem_authorization_code(handle) for _ in range(REDEEMERS))
        )
        took = time.perf_counter() - began
        outcomes = Counter(answer.outcome for answer in answers)
        stage.teller.claim(
            f"{REDEEMERS} tasks redeem one code at once: a single winner",
            outcomes["redeemed"] == 1,
            f"redeemed: {outcomes['redeemed']}, in {took * 1000:.0f} ms",
        )
        families = {answer.family for answer in answers}
        stage.teller.claim(
            "every other one is told of a replay, and what to revoke",
            outcomes["replayed"] == REDEEMERS - 1 and len(families) == 1,
            f"replayed: {outcomes['replayed']}, family {short(str(families.pop()))}",
        )
        stage.teller.claim(
            "a code that was never issued is something else",
            (await store.authorization_codes.redeem_authorization_code("0" * 64 + "-1")).outcome == "unknown",
            "unknown",
        )


async def _document(stage: Stage, handle: str) -> dict[str, Any]:
    key = grant_key(handle, PersistedGrantType.AuthorizationCode)
    return await stage.raw["grants"].find_one({"_id": f"default|{key}"}) or {}


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        # MongoDB's own precision.
        return f"{value.replace(tzinfo=UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03} UTC"
    if isinstance(value, bytes):
        return _envelope(value)
    text = str(value)
    tenant, separator, key = text.partition("|")
    return f"{tenant}|{short(key)} (SHA-256 of code and type)" if separator else text


def _envelope(payload: bytes) -> str:
    parts, at = [], 0
    for name, length in _ENVELOPE.items():
        part = payload[at : at + length].hex()
        parts.append(f"{name} {part if length == 1 else part[:_HEX_SHOWN] + '…'}")
        at += length
    sealed = payload[at:-_TAG_BYTES]
    return " | ".join([*parts, f"{len(sealed)} bytes {sealed.hex()[:_HEX_SHOWN]}…", "tag"])


SEALED = Chapter(
    "What MongoDB sees",
    "Codes and tokens are stored under a hash; what they stand for is encrypted (XAES-256-GCM) and bound to its record. "
    "In clear is what queries need: type, client, subject, session, dates.",
    show_sealed,
)
SINGLE_USE = Chapter(
    "A code is used once",
    "Of any number of servers and tasks that redeem a code, exactly one gets it (RFC 6749, section 4.1.2).",
    show_single_use,
)
