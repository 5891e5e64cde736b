"""A master key in AWS KMS, against a KMS server on loopback, which checks encryption contexts as the real one does."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mongostore import LocalMasterKey, MasterKeyChain, MongoStore
from mongostore.errors import ConfigurationError, KeyUnavailable, StorageUnavailable
from mongostore.protection.master_keys import AwsKmsMasterKey
from mongostore.testing.factories import a_grant

boto3 = pytest.importorskip("boto3", reason="the extra aws is not installed")
Config = pytest.importorskip("botocore.config").Config
ClientError = pytest.importorskip("botocore.exceptions").ClientError
Stubber = pytest.importorskip("botocore.stub").Stubber
moto_server = pytest.importorskip("moto.server", reason="moto, the KMS server for tests, is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:the schema of database", "ignore:datetime:DeprecationWarning")

REGION = "eu-central-1"
DATA_KEY = bytes(range(32))
CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def kms(endpoint: str) -> Iterator[Any]:
    client = boto3.session.Session().client("kms", endpoint_url=endpoint, **CREDENTIALS)
    yield client
    client.close()


@pytest.fixture
def arn(kms) -> str:
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def master_key(kms, arn) -> AwsKmsMasterKey:
    return AwsKmsMasterKey(arn, client=kms)


async def test_data_key_comes_back(master_key):
    """What was wrapped is unwrapped in its context; the wrapped form does not hold it."""
    wrapped = await master_key.wrap(DATA_KEY, b"context")
    assert DATA_KEY not in wrapped
    assert await master_key.unwrap(wrapped, b"context", master_key.id) == DATA_KEY


async def test_wrapped_key_is_bound_to_its_context(master_key):
    """In the context of another tenant's record it does not unwrap; nor when it was altered."""
    wrapped = await master_key.wrap(DATA_KEY, b"context")
    for foreign, context in ((wrapped, b"other"), (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"context")):
        with pytest.raises(KeyUnavailable, match="altered, moved"):
            await master_key.unwrap(foreign, context, master_key.id)


async def test_context_is_sent_as_documented(master_key, kms, arn):
    """The frozen form of the encryption context: whoever has the key can unwrap with KMS alone."""
    wrapped = await master_key.wrap(DATA_KEY, b"\x00context")
    answer = kms.decrypt(KeyId=arn, CiphertextBlob=wrapped, EncryptionContext={"mongostore": "AGNvbnRleHQ="})
    assert answer["Plaintext"] == DATA_KEY


async def test_key_of_another_arn_is_not_asked(master_key):
    """The record names its master key; another one is told apart without a call."""
    with pytest.raises(KeyUnavailable, match="local:1"):
        await master_key.unwrap(b"anything", b"context", "local:1")


async def test_alias_is_resolved_to_the_key(kms, arn):
    """The id is the key's ARN, so that an alias may later point to another key."""
    alias = f"alias/{arn[-36:]}"
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    assert (await AwsKmsMasterKey.find(alias, client=kms)).id == arn
    with pytest.raises(KeyUnavailable, match="no such key"):
        await AwsKmsMasterKey.find("alias/none", client=kms)


@pytest.mark.parametrize(
    "name", ["alias/mongostore", "arn:aws:kms:eu-central-1:111122223333:alias/mongostore", "", "arn:aws:s3:::bucket"]
)
def test_only_the_arn_of_a_key_is_taken(name):
    """An alias may be pointed elsewhere later: the constructor says how to look up its key."""
    with pytest.raises(ConfigurationError, match=r"AwsKmsMasterKey\.find"):
        AwsKmsMasterKey(name)


async def test_missing_key_is_told(kms, arn):
    """A key that the account does not have is a matter of configuration, not of waiting."""
    missing = AwsKmsMasterKey(arn[:-36] + "00000000-0000-0000-0000-000000000000", client=kms)
    with pytest.raises(KeyUnavailable, match="no such key"):
        await missing.wrap(DATA_KEY, b"context")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("DisabledException", "Enable the key"),
        ("KMSInvalidStateException", "cancel its deletion"),
        ("AccessDeniedException", "kms:Decrypt"),
        ("ThrottlingException", "Try again"),
    ],
)
async def test_refusal_tells_what_to_do(kms, master_key, code, remedy):
    """The server for tests never refuses so; these answers are put in. Nothing is taken for lost."""
    with Stubber(kms) as stubber:
        stubber.add_client_error("decrypt", code)
        with pytest.raises(StorageUnavailable, match=remedy) as refused:
            await master_key.unwrap(b"wrapped", b"context", master_key.id)
    assert code in str(refused.value)
    assert isinstance(refused.value.__cause__, ClientError)


async def test_service_that_can_not_be_reached_is_not_waited_for():
    """A refused connection is an unavailable storage, with boto's error as its cause."""
    one_try = Config(retries={"total_max_attempts": 1})
    client = boto3.session.Session().client("kms", endpoint_url="http://127.0.0.1:9", config=one_try, **CREDENTIALS)
    master_key = AwsKmsMasterKey(f"arn:aws:kms:{REGION}:111122223333:key/1", client=client)
    with pytest.raises(StorageUnavailable, match="was not reached") as refused:
        await master_key.wrap(DATA_KEY, b"context")
    assert "EndpointConnectionError" in type(refused.value.__cause__).__name__
    client.close()


def test_it_makes_its_own_client_in_the_key_s_region(arn, monkeypatch):
    """With nothing but the ARN: the region is the key's, whatever the environment says."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    assert AwsKmsMasterKey(arn)._kms.meta.region_name == REGION


def test_missing_boto3_is_told(arn, monkeypatch):
    """Without the extra the message says what to install."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mongostore\[aws\]'"):
        AwsKmsMasterKey(arn)


async def test_store_works_on_it(master_key, mongo_uri, database_name):
    """From a local master key to KMS by rewrap; afterwards KMS alone opens the ring, and keeps making keys."""
    local = LocalMasterKey.generate()
    async with MongoStore(mongo_uri, database=database_name, master_key=local) as store:
        await store.persisted_grants.store(a_grant("A"))
    async with MongoStore(mongo_uri, database=database_name, master_key=MasterKeyChain(master_key, local)) as store:
        assert await store.key_ring.rewrap() == 1
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key) as store:
        assert (await store.persisted_grants.get("A")).data == "payload"
        status = await store.key_ring.rotate()
        assert {key.master_key_id for key in status.keys} == {master_key.id}
        assert (await store.key_ring.reencrypt()).total.reencrypted == 1
        assert (await store.persisted_grants.get("A")).data == "payload"


async def test_nothing_secret_is_shown(master_key, caplog):
    """Neither the repr nor an error nor our log tells the data key."""
    caplog.set_level(logging.DEBUG, "mongostore")
    wrapped = await master_key.wrap(DATA_KEY, b"context")
    with pytest.raises(KeyUnavailable) as refused:
        await master_key.unwrap(wrapped, b"other", master_key.id)
    shown = repr(master_key) + str(refused.value) + caplog.text
    assert master_key.id in repr(master_key)
    assert all(form not in shown for form in (DATA_KEY.hex(), "AAECAwQFBgcICQ", repr(DATA_KEY)))
