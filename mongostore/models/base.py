"""What all models share: snake_case in Python, the reference's PascalCase names in JSON, frozen.

`FieldInfo.alias` stays unset on purpose: stored documents are made from these classes, and would be stored under it.
"""

import base64
import contextlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StrictBytes,
    StrictStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticSerializationError, from_json, to_json

from mongostore.models.identifiers import MAX_NAMED, check_identifier
from mongostore.models.misspelt import with_suggestions

_WORDS = {"dpop": "DPoP", "idp": "IdP"}

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound="Model")


def reference_name(field: str) -> str:
    """Give the reference's name of a property: `require_dpop` → `RequireDPoP`."""
    return "".join(_WORDS.get(word) or word[:1].upper() + word[1:] for word in field.split("_"))


def _input_names(field: str) -> AliasChoices:
    return AliasChoices(field, reference_name(field))


class Model(BaseModel):
    """A frozen model that reads snake_case and PascalCase names; dump `by_alias=True` to write PascalCase.

    An unknown property is refused, since a misspelt one must not vanish; only `from_payload` ignores it. Models inside
    others are validated again: `model_copy(update=…)` and `model_construct` check nothing.
    """

    none_is_absent: ClassVar[bool] = True
    """Whether None stands for no value, as it does unless null is a value of some property: payloads leave it out."""

    if not TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as caught:
                error = with_suggestions(caught, type(self).model_fields)
            except RecursionError:
                error = ValueError(f"a value for {type(self).__name__} is nested too deeply")
            else:
                return
            raise error

        # Validation of what lies inside, or of JSON, does not come here.
        __init__.__pydantic_base_init__ = True

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        revalidate_instances="always",
        alias_generator=AliasGenerator(validation_alias=_input_names, serialization_alias=reference_name),
        loc_by_alias=False,
        hide_input_in_errors=True,  # The input may be a handle, a secret or a payload.
    )


class ConfigurationModel(Model):
    """A model that people write, and that is saved under a revision; or a part of one."""


class PositionalModel(Model):
    """A model whose leading fields may be given by position."""

    positional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *values: Any, **fields: Any) -> None:
        if values:
            if len(values) > len(self.positional):
                raise TypeError(f"{type(self).__name__} takes at most {len(self.positional)} positional arguments")
            for name, value in zip(self.positional, values, strict=False):
                if name in fields:
                    raise TypeError(f"{type(self).__name__} got several values for {name}")
                fields[name] = value
        super().__init__(**fields)

    # Validation, of JSON for example, gives no positions: told so, pydantic does it without a call for each model.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class ReferenceEnum(IntEnum):
    """The reference's member names and numbers; read from either."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # A trailing underscore keeps a member's name off Python's keywords.
        return cls.__members__.get(value, cls.__members__.get(f"{value}_"))


def _identifier(value: str, info: ValidationInfo) -> str:
    return check_identifier(info.field_name or "the identifier", value)


def _bytes_from_json(value: object) -> object:
    if isinstance(value, Mapping) and value.keys() == {"Base64"} and isinstance(value["Base64"], str):
        return base64.b64decode(value["Base64"], validate=True)
    return value


def _bytes_to_json(value: str | bytes) -> str | dict[str, str]:
    return {"Base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _readable_json(value: object, validate: ValidatorFunctionWrapHandler) -> JsonValue:
    with contextlib.suppress(ValueError):
        validated: JsonValue = validate(value)
        # Two levels: no payload wraps a value into more.
        from_json(to_json([[validated]]), allow_inf_nan=False)
        return validated
    # Outside of the handler: that error may carry a text.
    raise ValueError(
        "must be JSON that can be read again: finite numbers of at most 4,300 digits, no lone surrogates, "
        "no more than 198 levels"
    )


def _sorted_texts(values: frozenset[str]) -> list[str]:
    return sorted(values)


if TYPE_CHECKING:

    class SetOf(Generic[T]):
        """A property that is read as a frozenset and may be given as a set, list or tuple, but not as one text."""

        def __get__(self, instance: object, owner: Any = None) -> frozenset[T]: ...
        def __set__(self, instance: object, value: AbstractSet[T] | list[T] | tuple[T, ...]) -> None: ...
else:
    SetOf = frozenset

EMPTY: Any = frozenset()
"""The default of a `SetOf`. Untyped: a type checker takes the property itself for a descriptor."""

Identifier = Annotated[str, AfterValidator(_identifier)]
"""Non-empty text without NUL, up to 1,000 characters."""

# Any constraint has pydantic look for lone surrogates: JSON would be written with something else in their place.
PropertyName = Annotated[str, Field(min_length=0)]
"""The name of one value of many: any text that UTF-8 can encode."""

Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""A whole number, within the reference's 32-bit integer."""

Seconds = Number
"""A lifetime in whole seconds."""

TextSet = Annotated[SetOf[str], PlainSerializer(_sorted_texts, return_type=list[str])]
"""A set of texts, made from any collection; written as a sorted list."""

Json = Annotated[JsonValue, WrapValidator(_readable_json)]
"""Any JSON value that is read as it was written."""

Several = Annotated[list[T], Field(max_length=MAX_NAMED, fail_fast=True)]
"""What is named one by one to be looked for."""

TextOrBytes = Annotated[
    StrictStr | StrictBytes, BeforeValidator(_bytes_from_json), PlainSerializer(_bytes_to_json, when_used="json")
]
"""Text or bytes, kept as given; in JSON, bytes are `{"Base64": …}`."""


def is_empty(value: object) -> bool:
    """Tell whether a property need not be written (`exclude_if`): the reference's model has none of that name."""
    return not value


def to_payload(model: Model) -> bytes:
    """Write a validated model as compact JSON with the reference's names; absent (None) and derived properties are left out.

    Raises:
        ValueError: a text in it has a lone surrogate. Values are not repeated.
    """
    with contextlib.suppress(PydanticSerializationError):
        # As errors: pydantic's warnings show the value.
        return model.__pydantic_serializer__.to_json(
            model, by_alias=True, exclude_none=model.none_is_absent, warnings="error"
        )
    # Outside of the handler: that error may carry a text.
    raise ValueError(f"this {type(model).__name__} can't be written as JSON: {'; '.join(unwritable(model))}")


def unwritable(model: Model) -> list[str]:
    """Say which properties of a validated model hold what JSON can't."""
    names = [name for name, value in model.__dict__.items() if not _is_writable(value)]
    return [f"{name}: a text in it has a lone surrogate, which UTF-8 can't encode" for name in names]


def _is_writable(value: object) -> bool:
    try:
        to_json(value)
    except ValueError:
        return False
    return True


def from_payload(model_type: type[ModelT], payload: str | bytes) -> ModelT:
    """Read what `to_payload` or the reference wrote.

    Unknown properties are ignored: during a rolling upgrade, an older node reads what a newer one wrote.

    Raises:
        ValueError: it is no JSON of such a model. The message names properties, never their values.
    """
    return model_type.model_validate_json(payload, extra="ignore")
