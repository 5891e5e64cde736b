"""Sessions in MongoDB: how they are stored, what is never stored, and what a crash leaves."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import CodecOptions
from pymongo.errors import WriteError

from mongostore.errors import PayloadUnreadable
from mongostore.models import RemoveSessionsContext, SessionFilter, SessionQuery
from mongostore.models.base import to_payload
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields
from mongostore.protection.columns import with_columns
from mongostore.protection.protector import compared
from mongostore.stores.session_logouts import LogoutState
from mongostore.testing.factories import a_principal, a_session, a_ticket

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sessions.json").read_text())
BEGUN = datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECRET_KEY, SECRET_TICKET = "SENTINEL-KEY", "SENTINEL-TICKET"


class PlainProtector:
    """Shows what would be sealed, and for which place."""

    async def seal(self, plaintext, context, columns):
        self.sealed = (with_columns(plaintext, columns), context)
        return self.sealed[0]

    async def open(self, sealed, context, columns):
        assert context == self.sealed[1]
        return compared(sealed, context, columns)


@pytest.fixture
def raw(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["sessions"]


def session_of(vector):
    fields = vector["session"]
    if "ticket_hex" in fields:
        fields = {name: value for name, value in fields.items() if name != "ticket_hex"}
        fields["ticket"] = bytes.fromhex(vector["session"]["ticket_hex"])
    return a_session(**{**fields, "display_name": fields.get("display_name"), "expires": fields.get("expires")})


def shown(document):
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in document.items()}


@pytest.mark.parametrize("vector", VECTORS["stored"], ids=lambda vector: vector["name"])
async def test_the_stored_form_is_frozen(vector):
    """A session becomes the same document, sealed for the same place, as it always did; and comes back from it."""
    session = session_of(vector)
    protector = PlainProtector()
    codec = SessionCodec("acme", protector, timedelta(days=7))
    document = await codec.document(session, begun=BEGUN)
    payload, context = protector.sealed
    assert payload.hex() == vector["bound_payload_hex"]
    assert bytes(document["payload"]) == payload
    assert (context.tenant, context.collection, context.record_id, context.field) == tuple(vector["context"])
    assert shown(document) == {**vector["document"], "begun": BEGUN.isoformat(), "payload": document["payload"]}
    assert await codec.session(document) == session
    assert set(SessionFields.model_fields) >= set(document) - {"_id"}


@pytest.mark.parametrize("vector", VECTORS["stored"], ids=lambda vector: vector["name"])
async def test_a_record_of_the_old_form_is_read(vector):
    """A payload that was sealed without columns opens, in place and laid aside; written again, it has them."""
    session = session_of(vector)
    protector = PlainProtector()
    codec = SessionCodec("acme", protector, timedelta(days=7))
    document = await codec.document(session)
    document["payload"] = bytes.fromhex(vector["payload_hex"])
    assert await codec.session(document) == session
    if session.expires:
        aside = await codec.aside(document)
        assert aside["_id"] == vector["aside_id"]
        assert await codec.session(aside) == session
    assert (await codec.change(session))["$set"]["payload"].hex() == vector["bound_payload_hex"]


@pytest.mark.parametrize("vector", VECTORS["ended"], ids=lambda vector: vector["name"])
async def test_the_form_of_an_ended_session_is_frozen(vector):
    """What `end` writes, and how far a logout has come, are the same bytes as they always were, and come back."""
    session = session_of(vector)
    state = LogoutState.model_validate(vector["state"])
    codec = SessionCodec("acme", PlainProtector(), timedelta(days=7))
    ended = datetime.fromisoformat(vector["ended"])
    change = await codec.ended(session, ended, state)
    assert shown(change | {"payload": bytes(change["payload"])}) == {
        "ended": vector["ended"],
        "expires": "1970-01-01T00:00:00+00:00",
        "payload": bytes.fromhex(vector["bound_payload_hex"]),
    }
    record = await codec.record(await codec.document(session) | change)
    assert (record.session, record.over_at) == (session, ended)
    assert record.state == state.model_copy(update={"expires": session.expires})


def test_the_form_of_a_ticket_is_frozen():
    """A ticket is written as the same JSON as it always was."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    ticket = a_ticket(principal=a_principal(), issued=start, expires=start + HOUR)
    assert to_payload(ticket).decode() == VECTORS["ticket"]


async def test_key_and_ticket_are_found_nowhere(store, raw):
    """Neither key nor ticket lies in clear in any document, on any path that writes one."""
    sessions = store.server_side_sessions
    session = a_session(SECRET_KEY, ticket=SECRET_TICKET, expires=store.clock.now() + HOUR)
    await sessions.create_session(session)
    await sessions.update_session(session)
    store.clock.advance(MINUTE)
    await sessions.slide_session(SECRET_KEY)
    store.clock.advance(2 * HOUR)
    await sessions.create_session(session.model_copy(update={"expires": None}))
    await sessions.claim_expired_sessions(1, MINUTE)
    documents = list(raw.find())
    assert len(documents) == 2
    assert "SENTINEL" not in repr(documents)
    for session_shown in (session, a_ticket(items={"secret": SECRET_TICKET})):
        assert "SENTINEL" not in repr(session_shown)


async def test_a_payload_that_was_moved_is_not_opened(store, raw):
    """A ticket copied onto another session's record does not sign anybody in."""
    await store.server_side_sessions.create_session(a_session("mallory"))
    await store.server_side_sessions.create_session(a_session("alice"))
    [payload] = [found["payload"] for found in raw.find({"_id": store_id("alice")})]
    raw.update_one({"_id": store_id("mallory")}, {"$set": {"payload": payload}})
    with pytest.raises(PayloadUnreadable):
        await store.server_side_sessions.get_session("mallory")
    assert (await store.server_side_sessions.get_session("alice")).key == "alice"


async def test_the_database_refuses_a_payload_in_clear(store, raw):
    """The validator rejects what is no envelope."""
    await store.server_side_sessions.create_session(a_session("k"))
    with pytest.raises(WriteError):
        raw.update_one({}, {"$set": {"payload": b"clear"}})


async def test_one_damaged_session_hides_no_other(store, raw, caplog):
    """Lists, pages and claims give what can be read and log the rest; alone, a damaged session is an error."""
    sessions = store.server_side_sessions
    now = store.clock.now()
    await sessions.create_session(a_session("good", expires=now + HOUR))
    await sessions.create_session(a_session("bad", expires=now + HOUR))
    bad = store_id("bad")
    raw.update_one({"_id": bad}, {"$set": {"payload": flipped(raw.find_one({"_id": bad})["payload"])}})
    with pytest.raises(PayloadUnreadable):
        await sessions.get_session("bad")
    assert [session.key for session in await sessions.get_sessions(SessionFilter(subject_id="alice"))] == ["good"]
    page = await sessions.query_sessions(SessionQuery())
    assert ([session.key for session in page.results], page.total_count) == (["good"], 2)
    assert await store.tickets.retrieve("bad") is None
    store.clock.advance(HOUR)
    assert [session.key for session in await sessions.get_and_remove_expired_sessions(10)] == ["good"]
    assert raw.count_documents({}) == 1
    store.clock.advance(MINUTE)
    with pytest.raises(PayloadUnreadable):
        await sessions.claim_expired_sessions(10, MINUTE)
    assert "can't be read" in caplog.text


async def test_end_ends_what_cannot_be_read(store, raw):
    """An administrator can end a damaged session."""
    await store.server_side_sessions.create_session(a_session("bad"))
    raw.update_one({}, {"$set": {"payload": flipped(raw.find_one()["payload"])}})

    async def tell(_):
        raise AssertionError

    assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=tell) == 1
    assert raw.count_documents({}) == 0


async def test_a_session_is_laid_aside_before_it_is_replaced(store, wire):
    """The expired session is a second time in the database before the new one takes its place."""
    await store.server_side_sessions.create_session(a_session("k", expires=store.clock.now() + HOUR))
    store.clock.advance(HOUR)
    wire.sent.clear()
    await store.server_side_sessions.create_session(a_session("k"))
    sent = [command for command in wire.sent if "sessions" in command.values()]
    assert [next(iter(command)) for command in sent] == ["insert", "find", "insert", "update"]
    assert sent[2]["documents"][0]["superseded"] == store_id("k").partition("|")[2]


async def test_a_crash_while_a_session_is_superseded_loses_no_logout(store, raw):
    """What a crash between the two writes leaves is processed, and acknowledged as one; the key can be taken."""
    sessions = store.server_side_sessions
    old = a_session("k", expires=store.clock.now() + HOUR)
    await sessions.create_session(old)
    raw.insert_one(
        await store.server_side_sessions._codec.aside(raw.with_options(CodecOptions(tz_aware=True)).find_one())
    )
    store.clock.advance(HOUR)
    assert await sessions.claim_expired_sessions(10, MINUTE) == [old]
    await sessions.create_session(new := a_session("k", expires=None))
    assert raw.count_documents({}) == 2
    assert await sessions.acknowledge_expired_sessions(["k"]) == 1
    assert await sessions.claim_expired_sessions(10, MINUTE) == []
    assert await sessions.get_session("k") == new


async def test_a_session_that_another_node_put_in_between_is_not_lost(store, raw, wire):
    """When the expired session is superseded meanwhile, by one that has expired as well, both logouts stay pending."""
    sessions = store.server_side_sessions
    await sessions.create_session(a_session("k", session_id="s2", expires=store.clock.now() + HOUR))
    between = raw.find_one_and_delete({})
    await sessions.create_session(a_session("k", session_id="s1", expires=store.clock.now() + HOUR))
    store.clock.advance(HOUR)

    def put_in_between(_, command):
        if any("superseded" in document for document in command.get("documents", [])):
            wire.before_sending = None
            raw.replace_one({"_id": between["_id"]}, between)

    wire.before_sending = put_in_between
    await sessions.create_session(a_session("k", session_id="s3"))
    assert wire.before_sending is None
    assert (await sessions.get_session("k")).session_id == "s3"
    pending = []
    while found := await sessions.claim_expired_sessions(10, MINUTE):
        pending += [session.session_id for session in found]
        assert await sessions.acknowledge_expired_sessions(["k"]) == 1
    assert sorted(pending) == ["s1", "s2"]


async def test_a_superseded_session_is_laid_aside_once(store, raw):
    """However often its key is taken again after a crash in between, an expired session lies aside once."""
    sessions = store.server_side_sessions
    await sessions.create_session(a_session("k", expires=store.clock.now() + HOUR))
    store.clock.advance(HOUR)
    expired = raw.find_one()
    await sessions.create_session(a_session("k"))
    raw.replace_one({"_id": expired["_id"]}, expired)
    await sessions.create_session(a_session("k"))
    assert raw.count_documents({"superseded": {"$exists": True}}) == 1
    assert raw.count_documents({}) == 2


async def test_a_page_is_three_commands(store, wire):
    """A page costs one read, one look for the other side, and one bounded count, wherever it lies."""
    for _ in range(6):
        await store.server_side_sessions.create_session(a_session())
    token = None
    for expected in (["find", "aggregate"], ["find", "find", "aggregate"], ["find", "find", "aggregate"]):
        wire.sent.clear()
        page = await store.server_side_sessions.query_sessions(SessionQuery(count_requested=2, results_token=token))
        token = page.results_token
        assert [next(iter(command)) for command in wire.sent] == expected


@pytest.mark.parametrize(
    ("action", "commands"),
    [
        (lambda store: store.server_side_sessions.create_session(a_session("new")), ["insert"]),
        (lambda store: store.server_side_sessions.get_session("k"), ["find"]),
        (lambda store: store.server_side_sessions.update_session(a_session("k")), ["update"]),
        (lambda store: store.server_side_sessions.delete_session("k"), ["delete"]),
        (lambda store: store.server_side_sessions.slide_session("k"), ["find"]),
        (lambda store: store.server_side_sessions.slide_sessions(SessionFilter(session_id="s1")), ["find"]),
        (lambda store: store.server_side_sessions.change_session("k", lambda session: session), ["find", "update"]),
        (lambda store: store.tickets.add_client("k", "web"), ["find"]),
        (lambda store: store.server_side_sessions.get_sessions(SessionFilter(session_id="s1")), ["find"]),
        (lambda store: store.server_side_sessions.delete_sessions(SessionFilter(session_id="s1")), ["delete"]),
    ],
)
async def test_an_operation_is_one_command(store, wire, action, commands):
    """Every operation on live sessions is one round trip, or a read and one conditional write where it depends on one."""
    await store.server_side_sessions.create_session(a_session("k"))
    wire.sent.clear()
    await action(store)
    assert [next(iter(command)) for command in wire.sent] == commands


@pytest.mark.parametrize("which", ["one", "all"])
async def test_a_session_slides_by_a_read_and_a_write(store, wire, which):
    """When the step is due, one write more."""
    session = a_session("k", renewed=store.clock.now(), expires=store.clock.now() + HOUR)
    await store.server_side_sessions.create_session(session)
    store.clock.advance(MINUTE)
    wire.sent.clear()
    if which == "one":
        await store.server_side_sessions.slide_session("k")
    else:
        await store.server_side_sessions.slide_sessions(SessionFilter(session_id="s1"))
    sent = [next(iter(command)) for command in wire.sent if "sessions" in command.values()]
    assert sent == ["find", "update"]


def store_id(key):
    return SessionCodec("default", PlainProtector(), HOUR).id(key)


def flipped(payload):
    return payload[:-1] + bytes([payload[-1] ^ 1])
