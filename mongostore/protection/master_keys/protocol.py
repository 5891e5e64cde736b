"""What a key ring asks of a master key, wherever that key lives: here, in a key management service, in an HSM."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class MasterKey(Protocol):
    """Wraps data keys. It is never stored in MongoDB; losing it loses everything that its data keys sealed.

    To implement it for a key management service, with `AwsKmsMasterKey` as the pattern:

    * `id` names the key, not its versions: the key's resource name or ARN. It is stored beside every wrapped key and
      stands in error messages, so it must stay the same for the life of the key and must tell nothing of it. Where
      the service keeps versions, let its ciphertext name the version; rotating inside the service then needs nothing.
    * `context` names the tenant, generation, purpose and id of the data key. Bind it: a ring record that is moved to
      another tenant must not unwrap.

      - Google Cloud KMS: `additional_authenticated_data=context`.
      - AWS KMS: `EncryptionContext={"mongostore": base64(context)}`. It appears in CloudTrail; it holds no secret.
      - Vault transit: `associated_data=base64(context)`, with a key type that is an AEAD.
      - A service that binds nothing (a PKCS#11 AES key wrap): derive a wrapping key per context, as `LocalMasterKey`
        does, or wrap `SHA-256(context) + data_key` and compare the first 32 bytes when unwrapping.

    * A call is made per data key when a node starts, when a key is made, and when keys are rewrapped, not per payload.
      Give it a time-out of a few seconds: a seal may be waiting for it.
    * The methods may run concurrently. Keep no data key, and log neither argument nor result.
    * Errors: `KeyUnavailable` when this is not the key that wrapped it, or it was altered or moved;
      `StorageUnavailable` when the service can't be reached or refuses for now, with its error as the cause.
    """

    @property
    def id(self) -> str:
        """Names the key in stored records and messages; public."""

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate a data key.

        Args:
            data_key: 32 bytes.
            context: what the result is bound to; the same bytes come back to `unwrap`.
        """

    async def unwrap(self, wrapped: bytes, context: bytes, master_key_id: str) -> bytes:
        """Give back the data key that `wrap` was given.

        Args:
            master_key_id: the `id` of the key that wrapped it, as it was stored.

        Raises:
            KeyUnavailable: this is not that key, or `wrapped` was altered or wrapped in another context.
        """


def checked_master_key(key: object) -> MasterKey:
    """Give it back when it is one.

    Raises:
        TypeError: it is something else; a class in place of an object, for example.
    """
    if isinstance(key, type) or not isinstance(key, MasterKey):
        name = f"the class {key.__name__}" if isinstance(key, type) else f"a {type(key).__name__}"
        raise TypeError(f"a master key has id, wrap and unwrap, see MasterKey; it is not {name}")
    return key
