"""The library's own MongoDB stores of grants and device requests, put together over a `stepped_server`."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from interleavings import drawn_by_script
from stepped_server import SteppedBinding

from mongostore.grants import authorization_codes, reference_tokens, refresh_tokens
from mongostore.grants.authorization_codes import AuthorizationCodes
from mongostore.grants.reference_tokens import ReferenceTokens
from mongostore.grants.refresh_tokens import RefreshTokens
from mongostore.grants.revocation import Revocation
from mongostore.grants.service import GrantService
from mongostore.mongo.device_codes import MongoDeviceFlowStore
from mongostore.mongo.documents.device_codes import DeviceCodeCodec, DeviceCodeFields
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.mongo.documents.pushed_requests import PushedRequestCodec
from mongostore.mongo.grant_records import MongoGrantRecordStore
from mongostore.mongo.persisted_grants import MongoPersistedGrantStore
from mongostore.mongo.pushed_requests import MongoPushedAuthorizationRequestStore
from mongostore.protection.unsafe import UnsafePlaintextProtector
from mongostore.testing import FakeClock

CLOCK = FakeClock()
_TENANT = "default"
_RETENTION = timedelta(days=1)


@dataclass(frozen=True)
class Parts:
    """The classes that a model runs: mutations put others in their place."""

    records: type[MongoGrantRecordStore] = MongoGrantRecordStore
    grants: type[MongoPersistedGrantStore] = MongoPersistedGrantStore
    codec: type[GrantCodec] = GrantCodec
    refresh_tokens: type[RefreshTokens] = RefreshTokens


LIBRARY = Parts()


class SteppedStores:
    """The stores of one tenant."""

    def __init__(self, parts: Parts) -> None:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            protector = self.protector = UnsafePlaintextProtector()
        binding: Any = SteppedBinding()
        ring: Any = _HashesOnly()
        codec = parts.codec(_TENANT, protector, _RETENTION)
        self.grants = parts.grants(binding, codec, CLOCK)
        self.records = parts.records(binding, codec, CLOCK)
        self.device_flow = MongoDeviceFlowStore(binding, DeviceCodeCodec(_TENANT, protector, ring), CLOCK, _RETENTION)
        # Whether there is the unique index is another matter.
        self.device_flow._known_unique_in = binding.collection(DeviceCodeFields)
        pushed = MongoPushedAuthorizationRequestStore(
            binding, PushedRequestCodec(_TENANT, protector), CLOCK, _RETENTION
        )
        self.revocation = Revocation(self.grants, self.device_flow, pushed)
        self.codes = AuthorizationCodes(self.records, self.grants)
        self.refresh_tokens = parts.refresh_tokens(self.records, self.grants, CLOCK)
        self.reference_tokens = ReferenceTokens(self.records, self.grants)
        self.service = GrantService(self.records, self.grants, self.revocation)


class _HashesOnly:
    """A key ring for hashes of user codes."""

    def for_tenant(self, tenant):
        return self

    async def keyed_hash(self, label, text):
        return hashlib.sha256(f"{label}:{text}".encode()).digest()

    find_keyed_hash = keyed_hash


@contextmanager
def named_by_scripts() -> Iterator[None]:
    """What is drawn at random is named by who draws it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (authorization_codes, reference_tokens, refresh_tokens):
            patch.setattr(module, "new_handle", drawn_by_script)
        patch.setattr(authorization_codes, "new_code_family", _family_by_script)
        yield


def _family_by_script() -> str:
    return "code-" + hashlib.sha256(drawn_by_script().encode()).hexdigest()[:32]
