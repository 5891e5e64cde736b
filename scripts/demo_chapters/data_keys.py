"""What an operator does with keys: a new data key, a new master key, and the end of a tenant's keys."""

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import pairwise

from demo_chapters.stage import Chapter, Stage, a_refresh_token, short
from mongostore import KeyUnavailable, LocalMasterKey, MasterKeyChain
from mongostore.assembly.stores import Stores
from mongostore.grants.handles import grant_key
from mongostore.models import PersistedGrantType, RefreshToken

TOKENS = 60
BATCH_SIZE = 25
# Envelope: version, then the id of the data key.
_KEY_ID = slice(1, 17)


async def show_rotation(stage: Stage) -> None:
    """Rotate, seal anew what the old key sealed, and look which key each record names."""
    tenant = "rotating"
    async with stage.store() as deployment:
        store = deployment.for_tenant(tenant)
        tokens = [a_refresh_token() for _ in range(TOKENS)]
        handles = await asyncio.gather(*(store.refresh_tokens.store_refresh_token(token) for token in tokens))
        old = str((await store.key_ring.status()).active_key_id)
        named = await _key_ids(stage, tenant, handles)
        stage.teller.claim(f"{TOKENS} tokens are sealed by one data key", named == {old}, f"data key {short(old)}")

        new = str((await store.key_ring.rotate()).active_key_id)
        handle = await store.refresh_tokens.store_refresh_token(tokens[0])
        stage.teller.claim(
            "the key is rotated: what is stored now names the new one",
            old != new and await _key_ids(stage, tenant, [handle]) == {new},
            f"data key {short(new)}",
        )
        stage.teller.claim("the old one goes on opening", await _read(store, handles) == tokens, f"{TOKENS} read")

        counts: list[int] = []
        done = await store.key_ring.reencrypt(
            batch_size=BATCH_SIZE, on_progress=lambda so_far: counts.append(so_far.total.reencrypted)
        )
        counts = [count for previous, count in pairwise([0, *counts]) if count > previous]
        stage.teller.claim(
            f"while the server runs, all is sealed anew, {BATCH_SIZE} records at a time",
            done.total.reencrypted == TOKENS and done.total.unreadable == 0,
            " … ".join(map(str, counts)),
        )
        named = await _key_ids(stage, tenant, handles)
        stage.teller.claim("the same documents name the new key", named == {new}, f"data key {short(new)}")
        stage.teller.claim("what they say has not changed", await _read(store, handles) == tokens, f"{TOKENS} read")


async def show_rewrap(stage: Stage) -> None:
    """Give the old and the new master key together, rewrap, and go on with the new one alone."""
    old, new = stage.master_key, LocalMasterKey.generate()
    token = a_refresh_token()
    async with stage.store(old) as store:
        handle = await store.refresh_tokens.store_refresh_token(token)

    payload = await _payload(stage, handle)
    async with stage.store(MasterKeyChain(new, old)) as store:
        rewrapped = await store.key_ring.rewrap()
        keys = (await store.key_ring.status()).keys
    stage.teller.claim(
        "with both at hand, every data key is wrapped anew",
        rewrapped > 0 and {key.master_key_id for key in keys} == {new.id},
        f"{rewrapped} keys, by {new.id}",
    )
    stage.teller.claim("no record was touched", await _payload(stage, handle) == payload, "the same bytes")
    async with stage.store(new) as store:
        found = await store.refresh_tokens.get_refresh_token(handle)
    stage.teller.claim("the new master key alone opens everything", found == token, "the same token")
    stage.teller.claim("the old one opens nothing any more", not await _opens(stage, old), "KeyUnavailable")

    async with stage.store(MasterKeyChain(old, new)) as store:
        again = await store.key_ring.rewrap()
    stage.teller.claim("and back, for the rest of this tour", again == rewrapped and await _opens(stage, old), old.id)


async def show_destruction(stage: Stage) -> None:
    """Destroy the keys of a tenant, and try to read and to write."""
    tenant = "has-left"
    async with stage.store() as deployment:
        store = deployment.for_tenant(tenant)
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        others = await deployment.refresh_tokens.store_refresh_token(a_refresh_token())
        destroyed = await deployment.key_ring.destroy(tenant)
        stage.teller.claim(f"the keys of the tenant {tenant} are destroyed", destroyed > 0, f"{destroyed} key")
        records = await stage.raw["grants"].count_documents({"tenant": tenant})
        stage.teller.claim("its records are still there", records > 0, f"{records} record")
        stage.teller.claim("a reader gets an error", *await _refused(store.refresh_tokens.get_refresh_token(handle)))
        stage.teller.claim(
            "so does a writer: no key is made anew",
            *await _refused(store.refresh_tokens.store_refresh_token(a_refresh_token())),
        )
        stage.teller.claim(
            "other tenants notice nothing",
            await deployment.refresh_tokens.get_refresh_token(others) is not None,
            "the tenant default reads on",
        )


async def _payload(stage: Stage, handle: str, tenant: str = "default") -> bytes:
    key = grant_key(handle, PersistedGrantType.RefreshToken)
    document = await stage.raw["grants"].find_one({"_id": f"{tenant}|{key}"}) or {}
    return bytes(document["payload"])


async def _key_ids(stage: Stage, tenant: str, handles: Sequence[str]) -> set[str]:
    return {(await _payload(stage, handle, tenant))[_KEY_ID].hex() for handle in handles}


async def _read(store: Stores, handles: Sequence[str]) -> list[RefreshToken | None]:
    return [await store.refresh_tokens.get_refresh_token(handle) for handle in handles]


async def _opens(stage: Stage, master_key: LocalMasterKey) -> bool:
    try:
        async with stage.store(master_key):
            return True
    except KeyUnavailable:
        return False


async def _refused(call: Awaitable[object]) -> tuple[bool, str]:
    try:
        await call
    except KeyUnavailable as error:
        return True, f"KeyUnavailable: {error}"
    return False, "no error"


ROTATION = Chapter(
    "A new data key",
    "Data keys are replaced every 90 days, or when an operator says so. What an old key sealed can be sealed anew, "
    "batch by batch, while the server runs.",
    show_rotation,
)
REWRAP = Chapter(
    "A new master key",
    "The master key wraps data keys only: to replace it, a handful of keys are wrapped anew, and no record is touched.",
    show_rewrap,
)
DESTRUCTION = Chapter(
    "The end of a tenant's keys",
    "Without its data keys, nothing that is stored of a tenant can be read again. (Backups that hold the key ring still "
    "have them, wrapped: the ring can lie in a database of its own.)",
    show_destruction,
)
