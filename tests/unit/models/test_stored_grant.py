"""A grant that is made without validation is the same in every respect as one that was validated."""

import copy
import pickle

import pytest

from mongostore.models import PersistedGrant
from mongostore.models.grants import stored_grant
from mongostore.testing.factories import a_grant


def test_it_is_equal_to_the_validated_grant():
    """Equality, dumps, copies, pickles and reprs can't tell the two apart."""
    validated = a_grant(consumed_time=a_grant().creation_time)
    made = stored_grant(dict(validated.__dict__))
    assert made == validated
    assert validated == made
    assert made.model_dump_json(by_alias=True) == validated.model_dump_json(by_alias=True)
    assert made.model_fields_set == set(PersistedGrant.model_fields)
    assert repr(made) == repr(validated)
    assert copy.deepcopy(made) == validated
    assert pickle.loads(pickle.dumps(made)) == validated
    assert made.model_copy(update={"subject_id": "bob"}).subject_id == "bob"
    with pytest.raises(ValueError, match="frozen"):
        made.subject_id = "bob"


@pytest.mark.parametrize("name", PersistedGrant.model_fields)
@pytest.mark.parametrize("value", [1, b"bytes", ["a"], {"a": 1}, "2030-01-01"])
def test_a_type_that_was_never_stored_is_refused(name, value):
    """What was changed from outside into another type is not taken for a grant."""
    validated = a_grant()
    if type(value) is type(getattr(validated, name)) or (name == "data" and isinstance(value, str | bytes)):
        return
    with pytest.raises(TypeError, match=name):
        stored_grant({**validated.__dict__, name: value})


def test_every_field_is_looked_at():
    """A field that is added to the model must be given a stored type."""
    fields = dict(a_grant().__dict__)
    for name in PersistedGrant.model_fields:
        with pytest.raises((KeyError, TypeError)):
            stored_grant({key: value for key, value in fields.items() if key != name})
