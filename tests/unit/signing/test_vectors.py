"""Stored signing keys against their vectors: what one version wrote, every later one must read."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from bson import Binary

from mongostore.models import SerializedKey
from mongostore.mongo.documents.signing_keys import SigningKeyCodec
from mongostore.protection.unsafe import UnsafePlaintextProtector
from mongostore.signing.key_material import parse, serialize

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signing_keys.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["serialized"]["Algorithm"])
def test_key_data(vector):
    """A stored key is read, published and written again as it was."""
    stored = SerializedKey.model_validate(vector["serialized"])
    credentials = parse(stored)
    assert credentials.validation_key.public_jwk() == vector["public_jwk"]
    assert serialize(credentials, stored.created) == stored


@pytest.mark.parametrize(
    "vector", VECTORS["documents"], ids=lambda vector: f"{vector['key']['Id']}-{'stored' in vector}"
)
async def test_documents(vector):
    """Fields and payload of a document are as documented, and say what the key was; also those of before `stored`."""
    with pytest.warns(RuntimeWarning):
        codec = SigningKeyCodec(vector["tenant"], UnsafePlaintextProtector())
    key = SerializedKey.model_validate(vector["key"])
    stored = vector["document"]
    instants = {name: datetime.fromisoformat(stored[name]) for name in ("created", "stored") if name in stored}
    document = {**stored, **instants, "payload": Binary(bytes.fromhex(stored["payload"]))}
    if "stored" in instants:
        made = await codec.document(
            key, vector["generation"], supersedes=vector["supersedes"], stored=instants["stored"]
        )
        assert made == document
    record = await codec.record(document)
    assert (record.key, record.damage) == (key, None)
    assert (record.generation, record.supersedes) == (vector["generation"], vector["supersedes"])
    assert (record.id, record.algorithm, record.created) == (key.id, key.algorithm, key.created)
    assert record.stored == instants.get("stored")
