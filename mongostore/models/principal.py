"""Who a grant is about: a claims principal."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, field_validator, model_serializer

from mongostore.models.base import Model, PositionalModel

STRING_VALUE_TYPE = "http://www.w3.org/2001/XMLSchema#string"
LOCAL_AUTHORITY = "LOCAL AUTHORITY"


class Claim(PositionalModel):
    """One statement about a subject. `issuer` is None for the server's own (the reference's "LOCAL AUTHORITY")."""

    positional: ClassVar[tuple[str, ...]] = ("type", "value", "value_type", "issuer")

    type: str
    value: str
    value_type: str = STRING_VALUE_TYPE
    issuer: str | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            type: str,  # noqa: A002  (the reference's word)
            value: str,
            value_type: str = STRING_VALUE_TYPE,
            issuer: str | None = None,
        ) -> None: ...

    @field_validator("value_type", mode="before")
    @classmethod
    def _string_unless_said(cls, value: object) -> object:
        return STRING_VALUE_TYPE if value is None else value

    @field_validator("issuer")
    @classmethod
    def _local_authority_is_unsaid(cls, issuer: str | None) -> str | None:
        return None if issuer == LOCAL_AUTHORITY else issuer

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if info.mode == "json":
            names = ("ValueType", "Issuer") if info.by_alias else ("value_type", "issuer")
            for name, default in zip(names, (STRING_VALUE_TYPE, None), strict=True):
                if name in written and written[name] == default:
                    del written[name]
        return written


def first_claim(claims: list[Claim], claim_type: str) -> str | None:
    """Give the value of the first claim of a type, or None."""
    return next((claim.value for claim in claims if claim.type == claim_type), None)


class Principal(PositionalModel):
    """A subject with its claims; without `authentication_type` it is not authenticated."""

    positional: ClassVar[tuple[str, ...]] = ("claims", "authentication_type")

    claims: list[Claim] = Field(default_factory=list)
    authentication_type: str | None = None

    if TYPE_CHECKING:

        def __init__(self, claims: list[Claim] = ..., authentication_type: str | None = None) -> None: ...

    @property
    def subject_id(self) -> str | None:
        """The value of the `sub` claim."""
        return first_claim(self.claims, "sub")

    @property
    def session_id(self) -> str | None:
        """The value of the `sid` claim."""
        return first_claim(self.claims, "sid")


class SubjectModel(Model):
    """A model about a principal that knows its subject."""

    subject: Principal

    @property
    def subject_id(self) -> str | None:
        """The value of the subject's `sub` claim."""
        return self.subject.subject_id
