"""The planner's complaints themselves: what the tests of this folder rest on."""

import pytest

PROBLEMS = [
    {"find": "things", "filter": {"b": 1}},
    {"find": "things", "filter": {"a": 1}, "sort": {"b": 1}},
    {"find": "things", "filter": {"a": 1, "b": 1}},
    {"find": "things", "filter": {"a": 1, "expires": 1, "b": 1}, "limit": 3},
    {"update": "things", "updates": [{"q": {"b": 1}, "u": {"$set": {"b": 2}}, "multi": True}]},
    {
        "update": "things",
        "updates": [{"q": {"a": 1}, "u": {"$set": {"b": 2}}}, {"q": {"b": 1}, "u": {"$set": {"b": 2}}}],
    },
    {"delete": "things", "deletes": [{"q": {"a": 1, "b": 1}, "limit": 0}]},
    {"findAndModify": "things", "query": {"b": 1}, "remove": True},
    {"distinct": "things", "key": "a", "query": {"b": 1}},
    {"aggregate": "things", "pipeline": [{"$match": {"b": 1}}], "cursor": {}},
    {"aggregate": "things", "pipeline": [{"$match": {"a": 1, "b": 1}}, {"$limit": 9}, {"$count": "n"}], "cursor": {}},
]


@pytest.fixture
def things(mongo_connection, database_name, planner):
    """A collection with an index on `a` alone, and the planner listens."""
    planner.listens = True
    collection = mongo_connection[database_name]["things"]
    collection.insert_many({"_id": number, "a": number % 2, "b": number % 3} for number in range(30))
    collection.create_index("a")
    return collection


@pytest.mark.parametrize("command", PROBLEMS, ids=lambda command: next(iter(command)))
def test_a_problem_is_told(things, planner, database_name, command):
    """A scan, a sort in memory and a document too many are each found, in every command that has a plan."""
    planner(database_name, command)
    assert planner.explained
    assert planner.problems


def test_a_command_that_is_not_known_is_told(things, planner, database_name):
    """A command that nobody has thought of does not pass unseen."""
    planner(database_name, {"mapReduce": "things"})
    assert planner.problems


def test_what_has_its_index_is_no_problem(things, planner, database_name):
    """What is answered from the index passes, and so does what is refused for its state once it is found."""
    planner(database_name, {"find": "things", "filter": {"a": 1}})
    planner(database_name, {"find": "things", "filter": {"a": 1, "expires": 1}})
    assert (planner.problems, planner.explained) == ([], 2)
