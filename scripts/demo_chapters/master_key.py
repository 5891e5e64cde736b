"""A restart, and a master key that is not the right one."""

from base64 import urlsafe_b64decode

from demo_chapters.stage import Chapter, Stage, a_refresh_token
from mongostore import KeyUnavailable, LocalMasterKey

_MASTER_KEY_BYTES = 32


async def show(stage: Stage) -> None:
    """Store, restart, read; restart with another key; restart with the right one."""
    token = a_refresh_token()
    async with stage.store() as store:
        handle = await store.refresh_tokens.store_refresh_token(token)

    kept = LocalMasterKey.from_text(stage.master_key.export())
    async with stage.store(kept) as store:
        found = await store.refresh_tokens.get_refresh_token(handle)
    stage.teller.claim("a restarted server reads what was stored", found == token, "the same token")

    refusal = await _refusal(stage)
    stage.teller.claim("with another master key, a store does not open", refusal is not None, refusal or "it opened")
    text = stage.master_key.export()
    key = urlsafe_b64decode(text.rpartition(":")[2])[:_MASTER_KEY_BYTES]
    stored = await stage.stored_bytes()
    stage.teller.claim(
        "the master key is nowhere in the database",
        text.encode() not in stored and key not in stored and stage.master_key.id.encode() in stored,
        "only its public id",
    )

    async with stage.store(kept) as store:
        found = await store.refresh_tokens.get_refresh_token(handle)
    stage.teller.claim("the failed attempt has damaged nothing", found == token, "the right key still opens all")


async def _refusal(stage: Stage) -> str | None:
    try:
        async with stage.store(LocalMasterKey.generate()):
            return None
    except KeyUnavailable as error:
        return f"KeyUnavailable: {error}"


MASTER_KEY = Chapter(
    "The key that MongoDB never sees",
    "Payloads are sealed by data keys, which lie in MongoDB wrapped by the master key. Who has the database, or a backup, "
    "and not the master key, reads nothing of them.",
    show,
)
