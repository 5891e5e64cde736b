"""What the typed grant stores share: a model becomes a grant under the key of its handle, and comes back from it."""

import contextlib
from datetime import datetime
from typing import Generic, TypeVar

from mongostore.errors import PayloadUnreadable
from mongostore.grants.handles import grant_key
from mongostore.models import PersistedGrant
from mongostore.models.base import Model, from_payload, to_payload
from mongostore.models.instants import expiration_of
from mongostore.models.revalidation import made, revalidated
from mongostore.stores.grant_records import GrantRecord

M = TypeVar("M", bound=Model)


class GrantSerializer(Generic[M]):
    """The two ways between a model of one type and the grant that keeps it."""

    def __init__(self, grant_type: str, model: type[M]) -> None:
        """Args: the grant's type, and the model that its data holds as JSON."""
        self.grant_type = grant_type
        self._model = model

    def key(self, handle: str) -> str:
        """The key of the grant with this handle.

        Raises:
            TypeError: the handle is no text.
        """
        if not isinstance(handle, str):
            raise TypeError(f"a handle is a str, not {type(handle).__name__}")
        return grant_key(handle, self.grant_type)

    def checked(self, value: M) -> M:
        """Give `value` as it is to be stored.

        Raises:
            TypeError, ValueError: it is something else, or holds what it can't.
        """
        return revalidated(value, self._model)

    def grant(
        self,
        value: M,
        key: str,
        *,
        client_id: str,
        subject_id: str | None,
        creation_time: datetime,
        expiration: datetime | None,
        session_id: str | None = None,
        description: str | None = None,
        consumed_time: datetime | None = None,
    ) -> PersistedGrant:
        """The grant that keeps `value`.

        Raises:
            TypeError, ValueError: it is larger than a grant may be, or has an id that can't be stored.
        """
        return made(
            PersistedGrant,
            key=key,
            type=self.grant_type,
            subject_id=subject_id,
            session_id=session_id,
            client_id=client_id,
            description=description,
            creation_time=creation_time,
            expiration=expiration,
            consumed_time=consumed_time,
            data=to_payload(value).decode(),
        )

    def value(self, grant: PersistedGrant) -> M:
        """The model that a grant keeps.

        Raises:
            PayloadUnreadable: its data is no such model.
        """
        with contextlib.suppress(ValueError):
            return from_payload(self._model, grant.data)
        # Outside of the handler: that error keeps the payload.
        raise PayloadUnreadable(
            f"the data of a stored grant of type {self.grant_type} is no {self._model.__name__}; "
            "it was written by something else. Remove the grant",
            collection="grants",
        )

    def of_type(self, record: GrantRecord | None) -> GrantRecord | None:
        """The record if it is of this type: a key that was stored raw may hold anything.

        Raises:
            PayloadUnreadable: it is of the form in which nothing vouched for what stands beside the data, and its data say
                otherwise.
        """
        if record is None or record.grant.type != self.grant_type:
            return None
        if not record.is_bound:
            self._require_agreement(record.grant)
        return record

    def _require_agreement(self, grant: PersistedGrant) -> None:
        value = self.value(grant)
        said = {name: getattr(value, name, None) for name in ("client_id", "subject_id", "session_id")}
        if (lifetime := getattr(value, "lifetime", None)) is not None:
            said["expiration"] = expiration_of(value.creation_time, lifetime)  # type: ignore[attr-defined]
        changed = [name for name, each in said.items() if getattr(grant, name) != each]
        if changed:
            raise PayloadUnreadable(
                f"{', '.join(changed)} of a stored grant of type {self.grant_type} differs from what is sealed in it: the "
                "record was changed from outside. Remove the grant",
                collection="grants",
            )
