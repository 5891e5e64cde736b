"""What all models share: snake_case in Python, the reference's PascalCase names in JSON, frozen.

`FieldInfo.alias` stays unset on purpose: stored documents are made from these classes, and would be stored under it.
"""

import base64
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
)
from pydantic_core import PydanticSerializationError, from_json, to_json

from mongostore.models.identifiers import check_identifier

_SURROGATE = "a text in it has a lone surrogate, which UTF-8 can't encode"
_WRONG_TYPE = "a value in it is not of its property's type"
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

    Unknown properties are ignored: during a rolling upgrade, an older node reads what a newer one wrote.
    """

    none_is_absent: ClassVar[bool] = True
    """Whether None stands for no value, as it does unless null is a value of some property: payloads leave it out."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=AliasGenerator(validation_alias=_input_names, serialization_alias=reference_name),
        loc_by_alias=False,
        hide_input_in_errors=True,  # The input may be a handle, a secret or a payload.
    )


class ConfigurationModel(Model):
    """A model that people write: an unknown property is refused, since a misspelt one must not vanish."""

    model_config = ConfigDict(extra="forbid")


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


def _readable_json(value: JsonValue) -> JsonValue:
    try:
        # Two levels: no payload wraps a value into more.
        from_json(to_json([[value]]), allow_inf_nan=False)
    except ValueError:
        # Not chained: that error may carry a text.
        raise ValueError(
            "must be JSON that can be read again: finite numbers of at most 4,300 digits, no lone surrogates, "
            "no more than 198 levels"
        ) from None
    return value


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

Seconds = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""A lifetime in whole seconds, within the reference's 32-bit integer."""

TextSet = Annotated[SetOf[str], PlainSerializer(_sorted_texts, return_type=list[str])]
"""A set of texts, made from any collection; written as a sorted list."""

Json = Annotated[JsonValue, AfterValidator(_readable_json)]
"""Any JSON value that is read as it was written."""

TextOrBytes = Annotated[
    StrictStr | StrictBytes, BeforeValidator(_bytes_from_json), PlainSerializer(_bytes_to_json, when_used="json")
]
"""Text or bytes, kept as given; in JSON, bytes are `{"Base64": …}`."""


def to_payload(model: Model) -> bytes:
    """Write a model as compact JSON with the reference's names; absent (None) and derived properties are left out.

    Raises:
        ValueError: it holds what JSON can't, such as a text with a lone surrogate.
    """
    try:
        # As errors: pydantic's warnings show the value.
        return model.__pydantic_serializer__.to_json(
            model, by_alias=True, exclude_none=model.none_is_absent, warnings="error"
        )
    except PydanticSerializationError:
        # Not chained: that error may carry the text.
        reason = _WRONG_TYPE if is_encodable(model) else _SURROGATE
        raise ValueError(f"{type(model).__name__} can't be written as JSON: {reason}") from None


def is_encodable(value: object) -> bool:
    """Tell whether every text in a value can be stored, however deep it lies."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, Mapping):
        return all(is_encodable(key) and is_encodable(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_encodable, value))
    return not isinstance(value, BaseModel) or is_encodable(value.__dict__)


def from_payload(model_type: type[ModelT], payload: str | bytes) -> ModelT:
    """Read what `to_payload` or the reference wrote.

    Raises:
        ValueError: it is no JSON of such a model. The message names properties, never their values.
    """
    return model_type.model_validate_json(payload)


def field_problems(model: Model) -> list[str]:
    """Say which fields hold what they can't, models inside them too: `model_copy` and `model_construct` check nothing."""
    try:
        type(model).model_validate(model.__dict__)
        # That takes models inside as they are, and texts with surrogates: what is written must be read as well.
        type(model).model_validate_json(model.__pydantic_serializer__.to_json(model, warnings=False))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        # Values may be keys of a location (`properties`), so only the field is named.
        named = [(detail["loc"][0] if detail["loc"] else type(model).__name__, detail["msg"]) for detail in details]
        return [f"{name}: {message.removeprefix('Value error, ')}" for name, message in named]
    except PydanticSerializationError:
        found = [f"{name}: {_SURROGATE}" for name, value in model.__dict__.items() if not is_encodable(value)]
        return found or [f"{type(model).__name__}: {_WRONG_TYPE}"]
    return []
