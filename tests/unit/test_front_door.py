"""The front door: what users handle is imported from `mongostore`, and importing it needs no extra."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import mongostore
from mongostore import errors

# What somebody has who did not ask for more.
EXTRAS = ("boto3", "botocore", "motor", "opentelemetry", "fiftyone", "fastapi")

WITHOUT_EXTRAS = f"""
import sys
for name in {EXTRAS!r}:
    sys.modules[name] = None
import mongostore
assert all(hasattr(mongostore, name) for name in mongostore.__all__)
mongostore.MongoStore("mongodb://127.0.0.1", database="d", master_key=mongostore.LocalMasterKey.generate())
try:
    mongostore.AwsKmsMasterKey("arn:aws:kms:eu-central-1:111122223333:key/1")
except mongostore.ConfigurationError as error:
    print(error)
"""


def test_everything_in_the_list_is_there() -> None:
    """And the list is in order, each name once."""
    assert sorted(set(mongostore.__all__), key=str) == mongostore.__all__
    assert [name for name in mongostore.__all__ if not hasattr(mongostore, name)] == []


def test_what_is_given_and_what_is_handed_out_can_be_named() -> None:
    """Every class of options, every error, and what `health` and the hook give."""
    handled = {*classes_of(mongostore.StoreOptions), mongostore.HealthReport, mongostore.StoreEvent}
    handled |= {
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception | Warning)
    }
    assert len(handled) > 15
    assert [each.__name__ for each in handled if getattr(mongostore, each.__name__, None) is not each] == []


def test_the_front_door_needs_no_extra() -> None:
    """Without any of their packages everything is imported; what needs one says so when it is made."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "boto3" in done.stdout


def test_importing_it_imports_no_client_of_a_cloud() -> None:
    """boto3 takes a quarter of a second, and Motor warns."""
    code = "import sys, mongostore; print(sorted({'boto3', 'botocore', 'motor'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def classes_of(options: type[Any]) -> set[type[Any]]:
    """The classes of this package that a class of options is made of."""
    hints = get_type_hints(options)
    found = {options}
    for field in fields(options):
        for each in get_args(hints[field.name]) or (hints[field.name],):
            if isinstance(each, type) and each.__module__.startswith("mongostore."):
                found |= classes_of(each) if is_dataclass(each) else {each}
    return found
