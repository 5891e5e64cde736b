"""What leaves a cache is the caller's own: changing it must not change what the next caller gets."""

from typing import TypeVar, cast

from mongostore.models import Client, IdentityProvider
from mongostore.models.resources import Resource

CopiedT = TypeVar("CopiedT", bound=Client | Resource | IdentityProvider)


def own_copy(model: CopiedT) -> CopiedT:
    """A copy that shares nothing that can be changed: of all that these models hold, that is `properties`."""
    return cast("CopiedT", model.model_copy(update={"properties": dict(model.properties)}))
