"""What the chapters share: a database of the tour's own, the way into it, and a look behind the library's back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from demo_chapters.teller import Teller
from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.clock import Clock
from mongostore.models import AuthorizationCode, Claim, Principal, RefreshToken
from mongostore.protection.master_keys import MasterKey

SUBJECT = Principal([Claim("sub", "alice"), Claim("sid", "session-7")], "pwd")
NONCE = "nonce-of-the-demo"


@dataclass(frozen=True)
class Stage:
    """The tour's server and database.

    Attributes:
        teller: tells the reader.
        uri: of the server; it may hold a password.
        name: of the database.
        master_key: made for this run.
        raw: the database as the driver shows it.
    """

    teller: Teller
    uri: str
    name: str
    master_key: LocalMasterKey
    raw: AsyncDatabase[dict[str, Any]]

    def store(
        self,
        master_key: MasterKey | None = None,
        *,
        connection: AsyncMongoClient[dict[str, Any]] | None = None,
        options: StoreOptions | None = None,
        clock: Clock | None = None,
    ) -> MongoStore:
        """A store on the database, not yet open; each one is a restart for what was stored before."""
        return MongoStore(
            connection or self.uri,
            database=self.name,
            master_key=master_key or self.master_key,
            options=options,
            clock=clock,
        )

    async def stored_bytes(self) -> bytes:
        """Everything that the database holds, as it holds it."""
        found = b""
        async with AsyncMongoClient(self.uri, document_class=RawBSONDocument) as connection:
            database = connection[self.name]
            for collection in await database.list_collection_names():
                async for document in database[collection].find():
                    found += document.raw
        return found


@dataclass(frozen=True)
class Chapter:
    """One promise and what shows it.

    Attributes:
        show: raises `ClaimFailed` when the promise is not kept.
    """

    title: str
    promise: str
    show: Callable[[Stage], Awaitable[None]]


def an_authorization_code() -> AuthorizationCode:
    """A code for Alice at the shop, good for five minutes."""
    return AuthorizationCode(
        creation_time=datetime.now(UTC),
        lifetime=300,
        client_id="shop-web",
        subject=SUBJECT,
        session_id=SUBJECT.session_id,
        is_open_id=True,
        requested_scopes=["openid", "profile", "orders.read", "offline_access"],
        redirect_uri="https://shop.example/signin-oidc",
        nonce=NONCE,
        code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method="S256",
    )


def a_refresh_token() -> RefreshToken:
    """A token for Alice at the shop, good for two weeks."""
    return RefreshToken(
        creation_time=datetime.now(UTC),
        lifetime=1_209_600,
        client_id="shop-web",
        subject=SUBJECT,
        session_id=SUBJECT.session_id,
        authorized_scopes=["openid", "profile", "orders.read", "offline_access"],
    )


def short(secret: str) -> str:
    """Enough of a handle or hash to tell it from others, and too little to use it."""
    return f"{secret[:8]}…"
