"""A master key in AWS KMS (extra `aws`), and the pattern for other key management services.

Data keys travel to KMS and back over TLS; the master key never leaves it.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Self, TypeVar

from mongostore.errors import ConfigurationError, KeyUnavailable, MongostoreError, StorageUnavailable

Answer = TypeVar("Answer")

# Frozen: wrapped keys are bound to an encryption context of this name.
_CONTEXT_NAME: Final = "mongostore"

_KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
# Two tries that take 6 s at most: a seal may be waiting.
_CONNECT_SECONDS: Final = 1
_READ_SECONDS: Final = 2
_TRIES: Final = 2

_NOT_THIS_KEY: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class AwsKmsMasterKey:
    """Wraps data keys with a symmetric key of AWS KMS.

    A wrapped key (frozen) is KMS's ciphertext, made with the encryption context {"mongostore": base64 of the context},
    which CloudTrail shows and which holds no secret. Rotating the key inside KMS needs nothing here.

    The node's role needs kms:Encrypt and kms:Decrypt on the key. Never let botocore log at level DEBUG in production:
    it writes requests and answers out, data keys included.
    """

    def __init__(self, key_arn: str, *, client: Any = None) -> None:
        """Name the key; nothing is asked of KMS.

        Args:
            key_arn: the key's ARN ("arn:aws:kms:eu-central-1:111122223333:key/…"): an alias could be pointed to another
                key later. `find` asks KMS for the ARN behind an alias.
            client: a boto3 KMS client, with credentials and time-outs of your own; else one in the key's region, with
                the credentials that boto3 finds, and short time-outs.

        Raises:
            ConfigurationError: it is no key's ARN, or boto3 is not installed.
        """
        arn = _KEY_ARN.fullmatch(key_arn)
        if arn is None:
            raise ConfigurationError(
                f"{key_arn[:200]!r} is not the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID); "
                "for an alias, use `await AwsKmsMasterKey.find(...)`"
            )
        self._arn = key_arn
        self._kms = client if client is not None else _new_client(arn["region"])

    @classmethod
    async def find(cls, name: str, *, region: str | None = None, client: Any = None) -> Self:
        """Make one from an alias ("alias/mongostore") or a key id, asking KMS once; needs kms:DescribeKey.

        Args:
            region: where to ask; else the one that boto3 finds configured.
            client: as in the constructor; the master key goes on to use it.

        Raises:
            KeyUnavailable: there is no such key.
            StorageUnavailable: KMS did not answer, or refused.
            ConfigurationError: boto3 is not installed, or no region is configured.
        """
        kms = client if client is not None else _new_client(region)
        described = await _ask(f"look up the master key {name}", lambda: kms.describe_key(KeyId=name))
        return cls(described["KeyMetadata"]["Arn"], client=kms)

    @property
    def id(self) -> str:
        """The key's ARN."""
        return self._arn

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """See `MasterKey.wrap`."""
        request: dict[str, Any] = self._request(context) | {"Plaintext": data_key}
        answer = await _ask(f"wrap a data key by {self._arn}", lambda: self._kms.encrypt(**request))
        return bytes(answer["CiphertextBlob"])

    async def unwrap(self, wrapped: bytes, context: bytes, master_key_id: str) -> bytes:
        """See `MasterKey.unwrap`."""
        if master_key_id != self._arn:
            raise KeyUnavailable(f"wrapped by master key {master_key_id}, not by {self._arn}")
        request: dict[str, Any] = self._request(context) | {"CiphertextBlob": wrapped}
        answer = await _ask(f"unwrap a data key by {self._arn}", lambda: self._kms.decrypt(**request))
        return bytes(answer["Plaintext"])

    def _request(self, context: bytes) -> dict[str, Any]:
        return {"KeyId": self._arn, "EncryptionContext": {_CONTEXT_NAME: base64.b64encode(context).decode()}}

    def __repr__(self) -> str:
        """Show the public ARN only."""
        return f"<AwsKmsMasterKey {self._arn}>"


def _new_client(region: str | None) -> Any:
    try:
        boto3, config = import_module("boto3"), import_module("botocore.config")
    except ImportError as error:
        raise ConfigurationError("AwsKmsMasterKey needs boto3: run `pip install 'mongostore[aws]'`") from error
    settings = config.Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
    )
    # A session of its own: boto3's default one is not safe to use from several threads.
    try:
        return boto3.session.Session().client("kms", region_name=region, config=settings)
    except import_module("botocore.exceptions").BotoCoreError as error:
        raise ConfigurationError(f"boto3 made no KMS client: {error}") from error


async def _ask(action: str, call: Callable[[], Answer]) -> Answer:
    """Make one call of boto3, which blocks, in a thread; its errors become ours."""
    errors = import_module("botocore.exceptions")
    try:
        return await asyncio.to_thread(call)
    except errors.ClientError as error:
        raise _refusal(action, error.response.get("Error", {})) from error
    except errors.BotoCoreError as error:
        raise StorageUnavailable(
            f"could not {action}: AWS KMS was not reached ({type(error).__name__}). Check the network, the region and "
            "that boto3 finds credentials"
        ) from error


def _refusal(action: str, answer: Mapping[str, str]) -> MongostoreError:
    code = answer.get("Code", "unknown error")
    if code in _NOT_THIS_KEY:
        return KeyUnavailable("the wrapped data key was altered, moved from another record, or wrapped by another key")
    if code == "NotFoundException":
        return KeyUnavailable(f"could not {action}: AWS KMS has no such key; check account, region and ARN")
    if code == "AccessDeniedException":
        remedy = "Give the node's role kms:Encrypt and kms:Decrypt on the key (kms:DescribeKey for an alias)"
    elif code in {"DisabledException", "KMSInvalidStateException"}:
        remedy = "Enable the key, or cancel its deletion; nothing was lost"
    else:
        remedy = "Try again"
    return StorageUnavailable(f"could not {action}: AWS KMS answered {code}. {remedy}")
