"""Models that are kept whole, as one JSON payload: checked before they are written, and read with damage told."""

import contextlib
from typing import TypeVar

from mongostore.errors import PayloadUnreadable
from mongostore.models.base import Model, from_payload, to_payload
from mongostore.models.grants import MAX_DATA_BYTES
from mongostore.models.revalidation import revalidated

M = TypeVar("M", bound=Model)


def payload_of(value: object, model: type[Model]) -> bytes:
    """Write a model.

    Raises:
        TypeError: `value` is not of the model, or a property holds another type.
        ValueError: a property holds what it can't (`model_copy(update=…)` checks nothing), or all exceed 1 MiB.
    """
    payload = to_payload(revalidated(value, model))
    if len(payload) > MAX_DATA_BYTES:
        raise ValueError(
            f"a {model.__name__} must not exceed 1 MiB as JSON ({MAX_DATA_BYTES:,} bytes); it has {len(payload):,}"
        )
    return payload


def value_of(payload: bytes, model: type[M], label: str) -> M:
    """Read what `payload_of` wrote.

    Raises:
        PayloadUnreadable: it is no such model.
    """
    with contextlib.suppress(ValueError):
        return from_payload(model, payload)
    # Outside of the handler: that error keeps the payload.
    raise PayloadUnreadable(
        f"a stored record of {label} holds no {model.__name__}; it was written by something else. Remove the record",
        collection=label,
    )
