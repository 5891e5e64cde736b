"""Two master keys at once, while one replaces the other."""

import pytest

from mongostore.errors import ConfigurationError, KeyUnavailable
from mongostore.protection.master_keys import LocalMasterKey, MasterKeyChain

DATA_KEY = b"\x5a" * 32


async def test_wraps_with_the_current_and_unwraps_with_each():
    """What any key of the chain wrapped opens; what the chain wraps needs the current key only."""
    current, old, older = (LocalMasterKey.generate() for _ in range(3))
    chain = MasterKeyChain(current, old, older)
    assert chain.id == current.id
    for key in (current, old, older):
        assert await chain.unwrap(await key.wrap(DATA_KEY, b"c"), b"c", key.id) == DATA_KEY
    assert await current.unwrap(await chain.wrap(DATA_KEY, b"c"), b"c", current.id) == DATA_KEY


async def test_unknown_master_key_names_all_that_were_given():
    """The error holds the missing id and the given ones."""
    current, old, foreign = (LocalMasterKey.generate() for _ in range(3))
    with pytest.raises(KeyUnavailable) as caught:
        await MasterKeyChain(current, old).unwrap(await foreign.wrap(DATA_KEY, b"c"), b"c", foreign.id)
    for key in (current, old, foreign):
        assert key.id in str(caught.value)


def test_same_key_twice_is_a_configuration_error():
    """A chain of a key and itself is a mistake in the configuration: the old key was not given."""
    key = LocalMasterKey.generate()
    with pytest.raises(ConfigurationError, match="twice"):
        MasterKeyChain(key, LocalMasterKey.from_text(key.export()))


@pytest.mark.parametrize("wrong", [None, "text", b"k" * 32, object()], ids=lambda each: type(each).__name__)
def test_what_is_no_master_key_is_refused(wrong):
    """A chain is made of master keys, and is one; the message does not show what else was given."""
    key = LocalMasterKey.generate()
    for keys in ((wrong,), (key, wrong)):
        with pytest.raises(TypeError, match=f"not a {type(wrong).__name__}$"):
            MasterKeyChain(*keys)
    assert MasterKeyChain(MasterKeyChain(key)).id == key.id


def test_repr_shows_ids_only():
    """Ids in order, current first."""
    current, old = LocalMasterKey.generate(), LocalMasterKey.generate()
    assert repr(MasterKeyChain(current, old)) == f"<MasterKeyChain {current.id}, {old.id}>"
