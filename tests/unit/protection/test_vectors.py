"""Stored formats against their vectors: what one version wrote, every later one must read."""

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed, assemble
from mongostore.protection.keyed_hash import keyed_hash
from mongostore.protection.master_keys import LocalMasterKey
from mongostore.protection.protector import pack, unpack
from mongostore.protection.wrapped_keys import wrapping_context
from mongostore.protection.xaes_gcm import XAES256GCM
from mongostore.stores.data_keys import DataKeyRecord

VECTORS = Path(__file__).parents[2] / "vectors"
XAES = json.loads((VECTORS / "xaes_256_gcm.json").read_text("utf-8"))
FORMATS = json.loads((VECTORS / "envelope.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", XAES["messages"])
def test_xaes_messages(vector):
    """The specification's two messages come out byte for byte; their keys take both branches of the CMAC subkey."""
    key, nonce, plaintext, associated_data, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext", "associated_data", "ciphertext")
    )
    cipher = XAES256GCM(key)
    assert cipher.encrypt(nonce, plaintext, associated_data) == ciphertext
    assert cipher.decrypt(nonce, ciphertext, associated_data) == plaintext


def test_xaes_accumulated():
    """The specification's 10,000 generated messages: SHAKE128 of nothing gives the inputs, SHAKE128 takes the outputs."""
    # A squeezed SHAKE128 is a prefix of a longer one, so one long output serves as the stream.
    stream = memoryview(hashlib.shake_128().digest(10_000 * (32 + 24 + 1 + 255 + 1 + 255)))
    at = 0

    def read(length):
        nonlocal at
        at += length
        return bytes(stream[at - length : at])

    outputs = hashlib.shake_128()
    for _ in range(XAES["accumulated"]["iterations"]):
        key, nonce = read(32), read(24)
        plaintext = read(read(1)[0])
        associated_data = read(read(1)[0])
        cipher = XAES256GCM(key)
        ciphertext = cipher.encrypt(nonce, plaintext, associated_data)
        assert cipher.decrypt(nonce, ciphertext, associated_data) == plaintext
        outputs.update(ciphertext)
    assert outputs.hexdigest(32) == XAES["accumulated"]["shake128"]


@pytest.mark.parametrize("vector", FORMATS["envelopes"])
def test_envelopes(vector):
    """Packed data, associated data and envelope are laid out as documented."""
    context = Context(vector["tenant"], vector["collection"], vector["record_id"], vector["field"])
    data = vector["text"] if "text" in vector else bytes.fromhex(vector["bytes"])
    packed = bytes.fromhex(vector["packed"])
    nonce = bytes.fromhex(vector["nonce"])
    associated_data = bytes.fromhex(vector["associated_data"])
    cipher = XAES256GCM(bytes.fromhex(vector["data_key"]))

    assert context.associated_data() == associated_data
    assert pack(data) == packed
    envelope = assemble(bytes.fromhex(vector["data_key_id"]), nonce, cipher.encrypt(nonce, packed, associated_data))
    assert bytes(envelope).hex() == vector["envelope"]

    stored = Sealed.from_stored(bytes.fromhex(vector["envelope"]))
    assert stored.key_id.hex() == vector["data_key_id"]
    assert unpack(cipher.decrypt(stored.nonce, stored.ciphertext, associated_data)) == data


def test_master_key_text_and_id():
    """An exported master key is read for ever, and its id, which ring records name, stays."""
    vector = FORMATS["master_key"]
    key = LocalMasterKey(bytes.fromhex(vector["key"]))
    assert key.export() == vector["text"]
    assert LocalMasterKey.from_text(vector["text"]).export() == vector["text"]
    assert key.id == vector["id"]


@pytest.mark.parametrize("vector", FORMATS["wrapped_keys"])
async def test_wrapped_keys(vector):
    """A wrapped data key and the context that it is bound to are laid out as documented."""
    master_key = LocalMasterKey.from_text(FORMATS["master_key"]["text"])
    wrapped, context = bytes.fromhex(vector["wrapped"]), bytes.fromhex(vector["context"])
    instant = "2026-01-01T00:00:00+00:00"
    record = DataKeyRecord(
        tenant=vector["tenant"],
        generation=vector["generation"],
        purpose=vector["purpose"],
        key_id=bytes.fromhex(vector["key_id"]),
        wrapped=wrapped,
        master_key_id=master_key.id,
        created=datetime.fromisoformat(vector.get("created", instant)),
        activates_at=datetime.fromisoformat(vector.get("activates_at", instant)),
        destroyed_at=None,
        opens_only=vector.get("opens_only", False),
        context_version=vector["context_version"],
    )
    assert wrapping_context(record) == context
    assert (await master_key.wrap(bytes.fromhex(vector["data_key"]), context)).hex() == vector["wrapped"]
    assert (await master_key.unwrap(wrapped, context, master_key.id)).hex() == vector["data_key"]


@pytest.mark.parametrize("vector", FORMATS["keyed_hashes"])
def test_keyed_hashes(vector):
    """Records stay findable by keyed hash."""
    assert keyed_hash(bytes.fromhex(vector["key"]), vector["purpose"], vector["value"]).hex() == vector["hash"]
