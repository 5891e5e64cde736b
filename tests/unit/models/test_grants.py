"""Persisted grants, their filters, sessions and what identifies them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore.models import (
    Consent,
    PersistedGrant,
    PersistedGrantFilter,
    PersistedGrantType,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
)
from mongostore.models.grants import MAX_DATA_BYTES, check_filter, check_grant
from mongostore.models.identifiers import check_identifier, identifier_problem, is_identifier
from mongostore.models.revalidation import revalidated
from mongostore.models.sessions import check_session

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)
IMPOSSIBLE = ["", "a\0b", "x" * 1001, "\ud800"]
identifiers = st.text(min_size=1, max_size=1000).filter(lambda text: "\0" not in text)


def grant(**fields: Any) -> PersistedGrant:
    return PersistedGrant(**{"key": "k", "type": "t", "client_id": "c", "creation_time": NOW, "data": "{}", **fields})


def session(**fields: Any) -> ServerSideSession:
    given = {"key": "k", "scheme": "cookie", "subject_id": "s", "session_id": "S1", "ticket": "t"}
    return ServerSideSession(**{**given, "created": NOW, "renewed": NOW, **fields})


@given(identifiers)
def test_any_text_identifies(text: str) -> None:
    """No character but NUL is special, and the text is kept byte for byte."""
    assert is_identifier(text)
    assert check_identifier("name", text) is text
    made = grant(key=text, subject_id=text, session_id=text, client_id=text, type=text)
    assert (made.key, made.subject_id, made.session_id, made.client_id, made.type) == (text,) * 5
    assert PersistedGrantFilter(subject_id=text, client_ids=[text], types=[text]).matches(made)


@pytest.mark.parametrize("value", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["key", "type", "subject_id", "session_id", "client_id"])
def test_impossible_identifiers_are_refused_without_being_repeated(field: str, value: str) -> None:
    """A grant can't be made, nor stored after a copy, under what can't be found again."""
    with pytest.raises(ValueError, match=field):
        grant(**{field: value})
    with pytest.raises(ValueError, match=field) as caught:
        check_grant(grant().model_copy(update={field: value}))
    assert value == "" or value not in str(caught.value)
    with pytest.raises(TypeError, match=field):
        check_grant(grant().model_copy(update={field: 7}))


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_typed_models_refuse_impossible_identifiers(value: str) -> None:
    """So do the models that become grants."""
    assert identifier_problem(value)
    with pytest.raises(ValueError, match="client_id"):
        Consent(subject_id="s", client_id=value, creation_time=NOW)


def test_data_may_have_one_mebibyte_in_utf_8() -> None:
    """The limit counts bytes, not characters, and the message names it."""
    for fitting in ("x" * MAX_DATA_BYTES, "é" * (MAX_DATA_BYTES // 2), b"\xff" * MAX_DATA_BYTES):
        assert grant(data=fitting).data == fitting
    for excessive in ("x" * (MAX_DATA_BYTES + 1), "é" * (MAX_DATA_BYTES // 2) + "x", b"x" * (MAX_DATA_BYTES + 1)):
        with pytest.raises(ValueError, match=r"data must not exceed 1 MiB \(1,048,576 bytes"):
            grant(data=excessive)
        with pytest.raises(ValueError, match="1 MiB"):
            check_grant(grant().model_copy(update={"data": excessive}))


@given(st.one_of(st.text(), st.binary()))
def test_data_keep_their_type(data: str | bytes) -> None:
    """Text stays text and bytes stay bytes, through JSON as well."""
    made = grant(data=data)
    assert type(made.data) is type(data)
    again = PersistedGrant.model_validate_json(made.model_dump_json(by_alias=True))
    assert again == made
    assert type(again.data) is type(data)


@pytest.mark.parametrize("wrong", [7, None, {"a": 1}, {"Base64": 7}, {"Base64": "é"}, bytearray(b"x"), "\ud800"])
def test_other_data_are_refused(wrong: object) -> None:
    """Nothing is turned into text behind the caller's back."""
    with pytest.raises(ValueError, match="data"):
        grant(data=wrong)
    with pytest.raises((TypeError, ValueError), match="data"):
        check_grant(grant().model_copy(update={"data": wrong}))


def test_a_description_is_free_text() -> None:
    """A description is no identifier: it may be empty, and longer."""
    assert grant(description="").description == ""
    assert grant(description="x" * 4000)
    for wrong in ("x" * 4001, "\ud800"):
        with pytest.raises(ValueError, match="description"):
            grant(description=wrong)
    with pytest.raises(TypeError, match="description"):
        check_grant(grant().model_copy(update={"description": 7}))


def test_grant_types_are_plain_text_in_a_grant() -> None:
    """The constants are texts, and a grant holds the text."""
    made = grant(type=PersistedGrantType.RefreshToken)
    assert type(made.type) is str
    assert made.type == "refresh_token"


def test_a_filter_must_set_something() -> None:
    """A filter that names nothing would mean everything."""
    with pytest.raises(ValueError, match="no filter values"):
        PersistedGrantFilter()
    with pytest.raises(ValueError, match="no filter values"):
        check_filter(PersistedGrantFilter.model_construct(**dict.fromkeys(PersistedGrantFilter.model_fields)))


@pytest.mark.parametrize("field", ["subject_id", "session_id", "client_id", "type"])
def test_an_empty_text_in_a_filter_is_refused(field: str) -> None:
    """A variable that happens to be empty must not widen what is removed."""
    with pytest.raises(ValueError, match=f"{field} must not be empty"):
        PersistedGrantFilter(**{"subject_id": "s", field: ""})
    with pytest.raises(ValueError, match=field):
        check_filter(PersistedGrantFilter(subject_id="s").model_copy(update={field: ""}))
    with pytest.raises(TypeError, match=field):
        check_filter(PersistedGrantFilter(subject_id="s").model_copy(update={field: 7}))


@pytest.mark.parametrize("field", ["client_ids", "types"])
def test_a_bare_text_is_no_list(field: str) -> None:
    """A text is a collection of its letters, which is never meant."""
    with pytest.raises(ValueError, match=field):
        PersistedGrantFilter(**{field: "web"})
    for wrong in ("web", [7]):
        with pytest.raises(TypeError, match=field):
            check_filter(PersistedGrantFilter(subject_id="s").model_copy(update={field: wrong}))


def test_lists_join_their_single_field() -> None:
    """`client_id` joins `client_ids`; unset is not the same as empty."""
    assert PersistedGrantFilter(type="t").effective_client_ids is None
    assert PersistedGrantFilter(client_ids=[]).effective_client_ids == frozenset()
    assert PersistedGrantFilter(client_ids=[], client_id="c").effective_client_ids == {"c"}
    assert PersistedGrantFilter(client_ids=["a", "b"], client_id="c").effective_client_ids == {"a", "b", "c"}
    assert PersistedGrantFilter(client_id="c").effective_types is None
    assert PersistedGrantFilter(types=["a"], type="b").effective_types == {"a", "b"}
    assert PersistedGrantFilter(client_ids=("a",), types={"t"}).matches(grant(client_id="a"))


def test_what_is_set_must_all_hold() -> None:
    """Fields are ANDed; an empty list matches nothing; an impossible identifier matches nothing."""
    one = grant(subject_id="s", session_id="S1")
    assert PersistedGrantFilter(subject_id="s", session_id="S1", client_id="c", type="t").matches(one)
    for other in (
        {"subject_id": "S"}, {"session_id": "S2"}, {"client_id": "C"}, {"type": "T"}, {"client_ids": []}, {"types": []},
        {"client_ids": ["x"]}, {"types": ["x"]}, {"subject_id": "a\0"}, {"client_id": "x" * 1001}, {"client_ids": [""]},
    ):  # fmt: skip
        assert not PersistedGrantFilter(**{"subject_id": "s", **other}).matches(one), other
    assert not PersistedGrantFilter(subject_id="s").matches(grant())


@pytest.mark.parametrize("value", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["key", "scheme", "subject_id", "session_id"])
def test_sessions_refuse_impossible_identifiers(field: str, value: str) -> None:
    """So do sessions, when made and when stored."""
    with pytest.raises(ValueError, match=field):
        session(**{field: value})
    with pytest.raises(ValueError, match=field):
        check_session(session().model_copy(update={field: value}))


@pytest.mark.parametrize(
    "update",
    [
        {"ticket": 7},
        {"ticket": "\ud800"},
        {"created": None},
        {"expires": NOW.replace(tzinfo=None)},
        {"expires": datetime.max.replace(tzinfo=UTC)},
        {"display_name": "\ud800"},
    ],
)
def test_sessions_are_checked_again_when_stored(update: dict[str, Any]) -> None:
    """A copy may hold anything."""
    check_session(session(expires=None))
    with pytest.raises((TypeError, ValueError), match=next(iter(update))):
        check_session(session().model_copy(update=update))


def test_a_session_ends_before_the_calendar_does() -> None:
    """What some write for never would overflow with its grace: the message says the limit and how to say never."""
    assert session(expires=datetime(8999, 12, 31, tzinfo=UTC))
    with pytest.raises(ValueError, match="expires must lie before the year 9000: leave it out"):
        session(expires=datetime(9000, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("model", [SessionFilter, RemoveSessionsContext])
def test_sessions_are_never_all_meant(model: type) -> None:
    """Ending sessions needs a subject or a session."""
    with pytest.raises(ValueError, match="no filter values"):
        model()
    for field in ("subject_id", "session_id"):
        with pytest.raises(ValueError, match=field):
            model(**{"subject_id": "s", "session_id": "S1", field: ""})
        with pytest.raises(TypeError, match=field):
            revalidated(model(subject_id="s").model_copy(update={field: 7}), model)


@pytest.mark.parametrize(("asked", "given"), [(0, 25), (-1, 25), (1, 1), (1000, 1000)])
def test_a_page_has_25_unless_said(asked: int, given: int) -> None:
    """The reference's page size for what makes no sense."""
    assert SessionQuery(count_requested=asked).count_requested == given


def test_an_empty_text_in_a_session_query_is_unset() -> None:
    """A form's empty field asks for nothing; the query only lists."""
    assert SessionQuery(subject_id="", session_id="", display_name="") == SessionQuery()
    with pytest.raises(ValueError, match="match"):
        SessionQuery(match="regex")
