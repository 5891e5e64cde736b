"""Errors as values: they keep what they say wherever they go."""

import copy
import pickle

import pytest

from mongostore.errors import (
    AlreadyExists,
    ConfigurationError,
    InvalidModel,
    KeyUnavailable,
    MongostoreError,
    NotFound,
    PayloadUnreadable,
    StaleRevision,
    StorageUnavailable,
)

ERRORS: list[MongostoreError] = [
    NotFound("gone"),
    AlreadyExists("there"),
    StaleRevision("older", expected=1, actual=None),
    InvalidModel("the client 'web'", ["it has no grant type", "it has no secret"]),
    StorageUnavailable("no answer"),
    PayloadUnreadable("altered", collection="grants"),
    KeyUnavailable("missing", key_id="0" * 32),
    ConfigurationError("no master key"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_passes_between_processes(error):
    """Pickled or copied, as a process pool does with what its worker raises, it has its kind, text and attributes."""
    for made_again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(made_again) is type(error)
        assert str(made_again) == str(error)
        assert vars(made_again) == vars(error)
