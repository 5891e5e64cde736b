"""Models that are kept whole, as one JSON payload: checked before they are written, and read with damage told."""

from typing import TypeVar

from mongostore.errors import PayloadUnreadable
from mongostore.models.base import Model, field_problems, from_payload, to_payload
from mongostore.models.grants import MAX_DATA_BYTES

M = TypeVar("M", bound=Model)


def payload_of(value: object, model: type[Model]) -> bytes:
    """Write a model.

    Raises:
        TypeError: `value` is not of the model.
        ValueError: a field holds what it can't (`model_copy(update=…)` checks nothing), or all exceed 1 MiB.
    """
    if not isinstance(value, model):
        raise TypeError(f"a {model.__name__} is needed, not {type(value).__name__}")
    if problems := field_problems(value):
        raise ValueError(f"this {model.__name__} can't be stored: {'; '.join(problems)}")
    payload = to_payload(value)
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
    try:
        return from_payload(model, payload)
    except ValueError:
        # Not chained: the cause may quote the payload.
        raise PayloadUnreadable(
            f"a stored record of {label} holds no {model.__name__}; it was written by something else. Remove the record",
            collection=label,
        ) from None
