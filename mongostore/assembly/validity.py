"""Which stored configuration is served: what breaks the rules for saving is absent, however it came to be stored.

Somebody else may have written it into MongoDB, a store of one's own may have made it, or a later version of this library
may have sharpened the rules.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from mongostore.clock import Clock
from mongostore.errors import InvalidModel
from mongostore.events import Events
from mongostore.models import ApiResource, ApiScope, Client, IdentityProvider, IdentityResource
from mongostore.stores.clients import check_client
from mongostore.stores.identity_providers import check_identity_provider, typed_provider
from mongostore.stores.resources import check_resource
from mongostore.stores.revised import Revised
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

# A look-up may come a thousand times a second; an auditor needs to hear of what is wrong once.
_TOLD_EVERY: Final = timedelta(minutes=1)
_MAX_VALID: Final = 1_000
_MAX_TOLD: Final = 10_000
_SHOWN_LENGTH: Final = 100

ModelT = TypeVar("ModelT", Client, IdentityResource, ApiScope, ApiResource, IdentityProvider)


@dataclass(frozen=True)
class Kind(Generic[ModelT]):
    """One kind of configuration.

    Attributes:
        collection: where it lies, for events.
        noun: what it is called in messages.
        key: the property that tells one from another.
        check: gives it as a save would store it, or raises what a save would raise.
    """

    collection: str
    noun: str
    key: str
    check: Callable[[ModelT], ModelT]


CLIENT: Kind[Client] = Kind("clients", "client", "client_id", lambda client: check_client(client, None))
IDENTITY_RESOURCE: Kind[IdentityResource] = Kind(
    "scopes",
    "identity resource",
    "name",
    lambda resource: check_resource(resource, IdentityResource, "the identity resource", None),
)
API_SCOPE: Kind[ApiScope] = Kind(
    "scopes", "API scope", "name", lambda scope: check_resource(scope, ApiScope, "the API scope", None)
)
API_RESOURCE: Kind[ApiResource] = Kind(
    "api_resources",
    "API resource",
    "name",
    lambda resource: check_resource(resource, ApiResource, "the API resource", None),
)
IDENTITY_PROVIDER: Kind[IdentityProvider] = Kind(
    "identity_providers",
    "identity provider",
    "scheme",
    lambda provider: typed_provider(check_identity_provider(provider, None)),
)


class Validity:
    """Judges the configuration of all tenants, remembers what was valid, and tells of what is not."""

    def __init__(self, clock: Clock, events: Events | None) -> None:
        """Args: the time, and who is told."""
        self._clock = clock
        self._events = events
        # To compare with what was valid costs a thirtieth of judging it again.
        self._valid: OrderedDict[tuple[Tenant, str, str], object] = OrderedDict()
        self._told: dict[tuple[Tenant, str, str], datetime] = {}

    def served(self, tenant: Tenant, kind: Kind[ModelT], model: ModelT | None, operation: str) -> ModelT | None:
        """The model when it may be served; otherwise None, as if it were not there.

        Args:
            tenant: whose.
            kind: what it is.
            model: what a store gave.
            operation: for the event ("clients.find_client_by_id").
        """
        if model is None:
            return None
        judged = self._judged(tenant, kind, model)
        if isinstance(judged, tuple):
            self._tell(tenant, kind, model, operation, judged)
            return None
        return judged

    def all_served(self, tenant: Tenant, kind: Kind[ModelT], models: Iterable[ModelT], operation: str) -> list[ModelT]:
        """Those of the models that may be served; see `served`."""
        judged = (self.served(tenant, kind, model, operation) for model in models)
        return [model for model in judged if model is not None]

    def read(self, tenant: Tenant, kind: Kind[ModelT], read: Revised[ModelT] | None) -> Revised[ModelT] | None:
        """What was read to be changed, when it may be served.

        Raises:
            InvalidModel: it may not.
        """
        if read is None:
            return None
        judged = self._judged(tenant, kind, read.value)
        if not isinstance(judged, tuple):
            return Revised(judged, read.revision)
        raise InvalidModel(
            _what(kind, read.value),
            judged,
            f"at revision {read.revision} breaks the rules and is not served; save a valid one over it, or delete it",
        )

    def _judged(self, tenant: Tenant, kind: Kind[ModelT], model: ModelT) -> ModelT | tuple[str, ...]:
        """The model as a save would store it, or what is wrong with it."""
        place = _place(tenant, kind, model)
        known = self._valid.get(place)
        if known is not None and known == model:
            self._valid.move_to_end(place)
            return model
        try:
            self._valid[place] = checked = kind.check(model)
        except InvalidModel as error:
            return error.problems
        except TypeError as error:
            return (str(error),)
        if len(self._valid) > _MAX_VALID:
            self._valid.popitem(last=False)
        return checked

    def _tell(self, tenant: Tenant, kind: Kind[Any], model: object, operation: str, problems: tuple[str, ...]) -> None:
        place, now = _place(tenant, kind, model), self._clock.now()
        until = self._told.get(place)
        if until is not None and now < until:
            return
        if len(self._told) >= _MAX_TOLD:
            self._told.clear()
        self._told[place] = now + _TOLD_EVERY
        what = _what(kind, model)
        _log.error("%s of tenant %s breaks the rules and is not served: %s", what, tenant, "; ".join(problems))
        if self._events is not None:
            client_id = place[2] if kind.key == "client_id" else None
            self._events.tell(
                "invalid_configuration", operation, tenant, client_id=client_id, collection=kind.collection
            )


def _place(tenant: Tenant, kind: Kind[Any], model: object) -> tuple[Tenant, str, str]:
    return tenant, kind.noun, _name(kind, model)


def _what(kind: Kind[Any], model: object) -> str:
    return f"the {kind.noun} {_name(kind, model)[:_SHOWN_LENGTH]!r}"


def _name(kind: Kind[Any], model: object) -> str:
    # What a store of one's own gave may be anything.
    return str(getattr(model, kind.key, ""))
