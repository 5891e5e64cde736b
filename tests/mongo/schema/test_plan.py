"""The plan is a pure function: definitions that mean the same are the same, whichever way they are spelled."""

import pytest

from mongostore.mongo.documents import DOCUMENTS
from mongostore.schema.desired import DesiredCollection, desired_collections
from mongostore.schema.observed import ObservedCollection
from mongostore.schema.plan import Drift, make_plan

VALIDATOR = {"_id": {"$type": "string"}}
OPTIONS = {"validator": VALIDATOR, "validationLevel": "strict", "validationAction": "error"}
BY_NAME = {"name": "by_name", "key": {"tenant": 1, "name": 1}}
SERVERS_BY_NAME = {"v": 2, "key": {"tenant": 1, "name": 1}, "name": "by_name"}
FRENCH = {"locale": "fr", "strength": 2}


def drift(desired=BY_NAME, found=SERVERS_BY_NAME, *others, options=OPTIONS, kind="collection"):
    """The kinds of drift of a collection with one desired index, and the indexes that were found."""
    found = {each["name"]: each for each in (found, *others) if each}
    plan = make_plan(
        [DesiredCollection("things", VALIDATOR, {desired["name"]: desired})],
        {"things": ObservedCollection(kind, options, found)},
    )
    return [(each.kind.value, each.index) for each in plan.changes]


def test_names_come_with_the_prefix():
    """Every document has its collection, under the prefix, and every index of ours a name of its own."""
    assert [each.name for each in desired_collections("idp_")] == [f"idp_{fields.label}" for fields in DOCUMENTS]
    for fields, collection in zip(DOCUMENTS, desired_collections(), strict=True):
        assert list(collection.indexes) == [each.document["name"] for each in fields.indexes]


@pytest.mark.parametrize(
    ("ours", "servers"),
    [
        ({}, {}),
        ({}, {"v": 1, "ns": "db.things", "background": True}),
        ({"unique": False, "sparse": False}, {}),
        ({}, {"unique": False, "hidden": False}),
        ({"unique": True}, {"unique": True}),
        ({"key": {"tenant": 1, "name": 1}}, {"key": {"tenant": 1.0, "name": 1.0}}),
        ({"partialFilterExpression": {"a": {"$exists": True}}}, {"partialFilterExpression": {"a": {"$exists": True}}}),
        (
            {"collation": FRENCH},
            {
                "collation": FRENCH
                | {
                    "caseLevel": False,
                    "caseFirst": "off",
                    "numericOrdering": False,
                    "alternate": "non-ignorable",
                    "maxVariable": "punct",
                    "normalization": False,
                    "backwards": False,
                    "version": "57.1",
                }
            },
        ),
    ],
)
def test_what_means_the_same_is_no_drift(ours, servers):
    """Versions, defaults that are spelled out, and kinds of numbers don't matter."""
    assert drift(BY_NAME | ours, SERVERS_BY_NAME | servers) == []


@pytest.mark.parametrize(
    ("ours", "servers"),
    [
        ({}, {"key": {"tenant": 1}}),
        ({}, {"key": {"name": 1, "tenant": 1}}),
        ({}, {"key": {"tenant": 1, "name": -1}}),
        ({}, {"key": {"tenant": 1, "name": "hashed"}}),
        ({}, {"unique": True}),
        ({"unique": True}, {}),
        ({}, {"sparse": True}),
        ({}, {"hidden": True}),
        ({}, {"expireAfterSeconds": 0}),
        ({}, {"partialFilterExpression": {"a": 1}}),
        ({"partialFilterExpression": {"a": {"$exists": True}}}, {}),
        ({"partialFilterExpression": {"a": 1}}, {"partialFilterExpression": {"a": 2}}),
        ({}, {"collation": FRENCH}),
        ({"collation": FRENCH}, {"collation": FRENCH | {"strength": 3}}),
        ({"expireAfterSeconds": 0}, {"expireAfterSeconds": 0, "unique": True}),
    ],
)
def test_what_means_something_else_is_a_changed_index(ours, servers):
    """Keys, their order, and every option count; a time to live that should not be there, too."""
    assert drift(BY_NAME | ours, SERVERS_BY_NAME | servers) == [("changed_index", "by_name")]


@pytest.mark.parametrize("found", [{}, {"expireAfterSeconds": 60}, {"expireAfterSeconds": float("nan")}])
def test_only_the_time_to_live_differs(found):
    """Another time to live, or none, is changed in place."""
    assert drift(BY_NAME | {"expireAfterSeconds": 0}, SERVERS_BY_NAME | found) == [("changed_ttl", "by_name")]


def test_foreign_indexes():
    """An index of another name is foreign; with the keys of a missing one of ours, it is in its way."""
    other = SERVERS_BY_NAME | {"name": "other"}
    assert drift(BY_NAME, SERVERS_BY_NAME, {"name": "x", "key": {"x": 1}}) == [("foreign_index", "x")]
    assert drift(BY_NAME, other) == [("conflicting_index", "other")]
    assert drift(BY_NAME, other | {"expireAfterSeconds": 9}) == [("conflicting_index", "other")]
    assert drift(BY_NAME, SERVERS_BY_NAME | {"key": {"x": 1}}, other) == [("conflicting_index", "other")]
    for difference in (
        {"unique": True},
        {"collation": FRENCH},
        {"partialFilterExpression": {"a": 1}},
        {"sparse": True},
    ):
        assert drift(BY_NAME, other | difference) == [("missing_index", "by_name"), ("foreign_index", "other")]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "missing_validator"),
        (OPTIONS | {"validator": {}}, "missing_validator"),
        (OPTIONS | {"validator": {"_id": {"$type": "int"}}}, "changed_validator"),
        (OPTIONS | {"validationLevel": "moderate"}, "changed_validator"),
        (OPTIONS | {"validationAction": "warn"}, "changed_validator"),
    ],
)
def test_validators(options, kind):
    """A missing or another validator, a milder level, or a mere warning is a drift."""
    assert drift(options=options) == [(kind, None)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("view", {}), ("timeseries", {}), ("collection", {"collation": FRENCH}), ("collection", {"capped": True})],
)
def test_unusable_collections_are_left_to_the_operator(kind, options):
    """A view, a capped collection or one that compares letters loosely can't be mended by us, and nothing else is told."""
    assert drift(BY_NAME, None, options=OPTIONS | options, kind=kind) == [("unusable_collection", None)]


def test_a_missing_collection_comes_with_its_indexes():
    """On an empty database, everything is missing, collections before their indexes."""
    plan = make_plan([DesiredCollection("things", VALIDATOR, {"by_name": BY_NAME})], {})
    assert [(each.kind, each.index) for each in plan.changes] == [
        (Drift.MISSING_COLLECTION, None),
        (Drift.MISSING_INDEX, "by_name"),
    ]


def test_only_told_to_apply_drops_what_is_foreign():
    """Foreign indexes are applicable with drop_foreign only; unusable collections never."""
    desired = [DesiredCollection("things", VALIDATOR, {"by_name": BY_NAME}), DesiredCollection("views", VALIDATOR, {})]
    found = {"by_name": SERVERS_BY_NAME, "x": {"name": "x", "key": {"x": 1}}}
    plan = make_plan(
        desired,
        {"things": ObservedCollection("collection", OPTIONS, found), "views": ObservedCollection("view", {}, {})},
    )
    assert [each.kind for each in plan.changes] == [Drift.FOREIGN_INDEX, Drift.UNUSABLE_COLLECTION]
    assert plan.applicable() == ()
    assert [each.kind for each in plan.applicable(drop_foreign=True)] == [Drift.FOREIGN_INDEX]
