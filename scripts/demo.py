#!/usr/bin/env python
"""A guided tour of mongostore on a real MongoDB. Run it as scripts/demo, which prepares what it needs."""

import argparse
import asyncio
import logging
import sys
import time
from secrets import token_hex
from typing import Any

from demo_chapters import CHAPTERS
from demo_chapters.stage import Stage
from demo_chapters.teller import ClaimFailed, Teller
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mongostore import ConfigurationError, LocalMasterKey, MongostoreError
from mongostore.testing.servers import Server, server

INTERRUPTED = 130


def main() -> int:
    """Find a server, take the tour, and put everything away; 1 when a promise is not kept."""
    arguments = _arguments()
    teller = Teller()
    # What goes wrong on purpose is told by the chapters; without a handler, Python would print the log beside it.
    logging.getLogger("mongostore").addHandler(logging.NullHandler())
    began = time.monotonic()
    try:
        with server(arguments.uri) as chosen:
            _refuse_to_keep(arguments.keep and chosen.ours)
            asyncio.run(_tour(teller, chosen, keep=arguments.keep))
            tidied = "The MongoDB that it started is stopped." if chosen.ours else ""
    except (ClaimFailed, MongostoreError, PyMongoError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running.", file=sys.stderr)
        return INTERRUPTED
    teller.end(
        f"{len(CHAPTERS)} promises, {teller.claims} claims, all held, in {time.monotonic() - began:.1f} s. {tidied}"
    )
    return 0


async def _tour(teller: Teller, chosen: Server, *, keep: bool) -> None:
    name = f"mongostore_demo_{token_hex(4)}"
    connection: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(chosen.uri, tz_aware=True)
    async with connection:
        version = (await connection.server_info())["version"]
        origin = "started for this tour" if chosen.ours else "at the given address"
        teller.title("mongostore: a guided tour", f"MongoDB {version}, {origin}; database {name}")
        stage = Stage(teller, chosen.uri, name, LocalMasterKey.generate(), connection[name])
        try:
            for number, chapter in enumerate(CHAPTERS, start=1):
                teller.chapter(number, chapter.title, chapter.promise)
                await chapter.show(stage)
        finally:
            if keep:
                teller.end(f"The database {name} stays; nobody has the master key to what is sealed in it any more.")
            else:
                await connection.drop_database(name)
                teller.end(f"The database {name} is dropped.")


def _refuse_to_keep(pointless: bool) -> None:
    if pointless:
        raise ConfigurationError(
            "--keep needs a server that stays: name one with --uri (the demo's own MongoDB goes, and its data with it)"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="A guided tour of mongostore on a real MongoDB, in a database of its own that is dropped at the end.",
    )
    parser.add_argument(
        "--uri", help="take this server; without it, one is started, or MONGOSTORE_TEST_URI names one that runs"
    )
    parser.add_argument("--keep", action="store_true", help="leave the database where it is, to look at it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
