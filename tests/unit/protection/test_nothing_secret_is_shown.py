"""No repr, message or log line of protection holds a key or a payload, in any spelling."""

import base64
import logging
import os
import traceback

import pytest

from mongostore.errors import MongostoreError
from mongostore.protection.context import Context
from mongostore.protection.master_keys import LocalMasterKey, MasterKeyChain
from mongostore.protection.protector import SealingProtector, unpack

PLACE = Context("default", "grants", "5E884898DA28", "data")


def spellings(secret: bytes) -> list[str]:
    encoded = base64.b64encode(secret).decode().rstrip("=")
    return [
        secret.hex(),
        secret.hex().upper(),
        encoded,
        encoded.replace("+", "-").replace("/", "_"),
        repr(secret)[2:-1],
    ]


async def test_no_key_and_no_payload_in_any_repr_error_or_log(master_key, new_node, monkeypatch, caplog):
    """Every key that is drawn and the payload are searched for in all that protection says, successful or failing."""
    drawn: list[bytes] = []
    urandom = os.urandom

    def remember(length):
        value = urandom(length)
        if length == 32:
            drawn.append(value)
        return value

    monkeypatch.setattr(os, "urandom", remember)
    payload = b"t" + urandom(12).hex().encode()
    said: list[str] = []

    async def fails(work):
        with pytest.raises(MongostoreError) as caught:
            await work
        said.append("".join(traceback.format_exception(caught.value)))

    with caplog.at_level(logging.DEBUG):
        foreign_master = LocalMasterKey.generate()
        node = new_node()
        ring, protector = node.for_tenant("default"), SealingProtector(node)
        sealed = await protector.seal(payload, PLACE)
        await ring.keyed_hash("user_code", "BDWP")
        key = await ring.sealing_key()
        said += map(
            repr,
            (
                master_key,
                foreign_master,
                MasterKeyChain(master_key, foreign_master),
                node,
                ring,
                ring._ring,
                vars(ring),
                key,
                key.cipher,
                sealed,
                protector,
                await ring.status(),
                PLACE,
            ),
        )
        said.append((await ring.status()).model_dump_json())
        await fails(protector.open(bytes(sealed[:-1]) + bytes([sealed[-1] ^ 1]), PLACE))
        await fails(protector.open(payload * 9, PLACE))
        await fails(protector.open(b"\x01" + b"?" * 16 + sealed[17:], PLACE))
        await fails(new_node(master_key=foreign_master).for_tenant("default").open())
        await fails(new_node(master_key=foreign_master).rewrap())
        await ring.destroy()
        await fails(protector.open(sealed, PLACE))
        with pytest.raises(MongostoreError) as caught:
            unpack(b"?" + payload)
        said.append(str(caught.value))

    said.append(caplog.text)
    exported = base64.urlsafe_b64decode(master_key.export().split(":")[1])[:32]
    assert len(drawn) >= 3
    everything = "\n".join(said)
    for secret in (*drawn, exported, payload):
        for spelling in spellings(secret):
            assert spelling not in everything
    assert payload.decode() not in everything
    assert payload[1:].decode() not in everything
