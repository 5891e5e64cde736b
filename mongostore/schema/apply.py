"""Makes the database as it should be: what the plan says, under a lease, as often as one likes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from pymongo.errors import OperationFailure

from mongostore.mongo.binding import Binding
from mongostore.mongo.leases import Leases
from mongostore.schema.desired import DesiredCollection, desired_collections
from mongostore.schema.failures import schema_call
from mongostore.schema.observed import observe
from mongostore.schema.plan import FOREIGN, VALIDATION, Change, Drift, Plan, make_plan
from mongostore.schema.progress import OnProgress, Progress, index_build, with_progress

_LEASE_DURATION = timedelta(seconds=30)
# The build of an index takes as long as it takes; what is lost on the way is noticed by the connection.
_BUILD_LIMIT = timedelta(days=7)
_NAMESPACE_EXISTS = 48

_VALIDATOR = frozenset({Drift.MISSING_VALIDATOR, Drift.CHANGED_VALIDATOR})
_TO_DROP = FOREIGN | {Drift.CHANGED_INDEX}
_TO_BUILD = frozenset({Drift.MISSING_INDEX, Drift.CHANGED_INDEX})


@dataclass(frozen=True)
class Applied:
    """What came of it.

    Attributes:
        done: the changes that were made.
        left: the differences that remain, for the operator to decide.
    """

    done: tuple[Change, ...]
    left: tuple[Change, ...]


async def plan_schema(binding: Binding) -> Plan:
    """Compare the database with what it should be; nothing is written.

    Raises:
        StorageUnavailable: MongoDB did not answer, or does not allow it.
    """
    desired = desired_collections(binding.prefix, binding.nouns, binding.ttl_delay)
    return make_plan(desired, await observe(binding, [each.name for each in desired]))


async def check_schema(binding: Binding, *, allow_foreign: bool = False) -> tuple[Change, ...]:
    """Tell every difference; nothing is written.

    Args:
        allow_foreign: leave out indexes that somebody else made and that are in nobody's way.

    Raises:
        StorageUnavailable: MongoDB did not answer, or does not allow it.
    """
    changes = (await plan_schema(binding)).changes
    return tuple(each for each in changes if not (allow_foreign and each.kind is Drift.FOREIGN_INDEX))


async def apply_schema(
    binding: Binding,
    *,
    on_progress: OnProgress | None = None,
    drop_foreign: bool = False,
    wait: timedelta = timedelta(minutes=10),
    main: Binding | None = None,
) -> Applied:
    """Make every change that the plan has. What is as it should be is not touched, and documents never are.

    Of two at once, the second waits, and then finds nothing left to do.

    Args:
        on_progress: is told about every step, and repeatedly about long ones.
        drop_foreign: drop the indexes that somebody else made, too.
        wait: how long to wait for another one to finish.
        main: the deployment's own database, where leases lie, if it is another one.

    Raises:
        ConfigurationError: the data is in the way of an index; what came before it is done.
        StorageUnavailable: MongoDB did not answer, does not allow it, or another one did not finish in time.
    """
    desired = {each.name: each for each in desired_collections(binding.prefix, binding.nouns, binding.ttl_delay)}
    done: list[Change] = []

    def waiting(elapsed: timedelta) -> None:
        if on_progress is not None:
            on_progress(Progress("wait for another apply to finish", elapsed))

    async with Leases(main or binding).hold(
        f"schema of {binding.database_name}", _LEASE_DURATION, wait, on_wait=waiting
    ):
        plan = await plan_schema(binding)
        # Again, because a running store may have made a collection meanwhile, and what was in the way may now be gone.
        while changes := [each for each in plan.applicable(drop_foreign=drop_foreign) if each not in done]:
            for collection, of_collection in groupby(changes, key=lambda change: change.collection):
                await _apply(binding, desired[collection], list(of_collection), on_progress)
            done += changes
            plan = await plan_schema(binding)
    return Applied(tuple(done), plan.changes)


async def _apply(
    binding: Binding, desired: DesiredCollection, changes: Sequence[Change], on_progress: OnProgress | None
) -> None:
    for change in changes:
        if change.kind is Drift.MISSING_COLLECTION:
            await _create(binding, desired)
        elif change.kind in _VALIDATOR:
            await _set_validator(binding, desired)
        elif change.index is not None and change.kind is Drift.CHANGED_TTL:
            await _set_ttl(binding, desired, change.index)
        elif change.index is not None and change.kind in _TO_DROP:
            with schema_call(binding, f"drop the index {change.index} of {desired.name}") as own:
                await binding.database[desired.name].drop_index(change.index, session=own)
    to_build = [change.index for change in changes if change.index is not None and change.kind in _TO_BUILD]
    if to_build:
        step = f"create {', '.join(to_build)} of {desired.name}"
        build = _build(binding, desired, to_build)
        await with_progress(step, build, index_build(binding, desired.name), on_progress)


async def _create(binding: Binding, desired: DesiredCollection) -> None:
    with schema_call(binding, f"create the collection {desired.name}") as own:
        try:
            await binding.database.create_collection(
                desired.name, check_exists=False, validator=desired.validator, **VALIDATION, session=own
            )
        except OperationFailure as error:
            # A running store was first, with its first document; the next plan sees what is missing.
            if error.code != _NAMESPACE_EXISTS:
                raise


async def _set_validator(binding: Binding, desired: DesiredCollection) -> None:
    with schema_call(binding, f"set the validator of {desired.name}") as own:
        await binding.database.command("collMod", desired.name, validator=desired.validator, **VALIDATION, session=own)


async def _set_ttl(binding: Binding, desired: DesiredCollection, index: str) -> None:
    ttl = desired.indexes[index]["expireAfterSeconds"]
    with schema_call(binding, f"change the index {index} of {desired.name}") as own:
        await binding.database.command(
            "collMod", desired.name, index={"name": index, "expireAfterSeconds": ttl}, session=own
        )


async def _build(binding: Binding, desired: DesiredCollection, names: Sequence[str]) -> None:
    """All in one command: MongoDB then reads the records once."""
    with schema_call(binding, f"create {', '.join(names)} of {desired.name}", _BUILD_LIMIT) as own:
        await binding.database.command(
            "createIndexes",
            desired.name,
            indexes=[desired.indexes[name] for name in names],
            writeConcern={"w": "majority"},
            session=own,
        )
