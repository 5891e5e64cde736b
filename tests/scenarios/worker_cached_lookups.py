"""Serves one client from its cache, and answers each name on stdin once it serves the client by that name."""

import asyncio
import sys

from mongostore import LocalMasterKey, MongoStore


async def main(uri: str, database: str, master_key: str) -> None:
    async with MongoStore(uri, database=database, master_key=LocalMasterKey.from_text(master_key)) as store:
        while not store._feed.is_listening:
            await asyncio.sleep(0.01)
        await store.clients.find_client_by_id("web")
        print("ready", flush=True)
        while wanted := (await asyncio.to_thread(sys.stdin.readline)).strip():
            while (await store.clients.find_client_by_id("web")).client_name != wanted:
                await asyncio.sleep(0.001)
            print(wanted, flush=True)


asyncio.run(main(*sys.argv[1:]))
