"""Several master keys at once, for the time in which one replaces another."""

from mongostore.errors import ConfigurationError, KeyUnavailable
from mongostore.protection.master_keys.protocol import MasterKey, checked_master_key


class MasterKeyChain:
    """Wraps with the current master key and unwraps with whichever wrapped.

    Data keys that a previous master key wrapped open what they sealed, and seal no more: a node makes a new one under the
    current master key when it next seals.

    To replace a master key: give every node `MasterKeyChain(old, new)`, so that each can open what is to come, then every
    node `MasterKeyChain(new, old)`, run the key ring's `rewrap`, then drop the old. Without the first step, nodes that have
    the old one alone raise `KeyUnavailable` as soon as another has made a key under the new one.
    """

    def __init__(self, current: MasterKey, *previous: MasterKey) -> None:
        for key in (current, *previous):
            checked_master_key(key)
        self._current = current
        self._by_id = {key.id: key for key in (current, *previous)}
        if len(self._by_id) != 1 + len(previous):
            raise ConfigurationError("a master key stands twice in the chain: give each of them once")

    @property
    def id(self) -> str:
        """The id of the current master key."""
        return self._current.id

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """See `MasterKey.wrap`; by the current one."""
        return await self._current.wrap(data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes, master_key_id: str) -> bytes:
        """See `MasterKey.unwrap`; by the one of that id."""
        key = self._by_id.get(master_key_id)
        if key is None:
            raise KeyUnavailable(f"wrapped by master key {master_key_id}, not by one of {', '.join(self._by_id)}")
        return await key.unwrap(wrapped, context, master_key_id)

    def __repr__(self) -> str:
        """Show the public ids only."""
        return f"<MasterKeyChain {', '.join(self._by_id)}>"
