"""Two tenants in one database, and the wall between them."""

from datetime import UTC, datetime, timedelta

from demo_chapters.stage import SUBJECT, Chapter, Stage, a_refresh_token
from mongostore import KeyUnavailable, PayloadUnreadable
from mongostore.grants.handles import grant_key
from mongostore.models import AuthenticationTicket, Client, GrantType, PersistedGrantFilter, PersistedGrantType, Secret

CLIENT_ID = "shop-web"


async def show(stage: Stage) -> None:
    """Give both a client of the same id, and try to get over the wall."""
    async with stage.store() as store:
        acme, globex = store.for_tenant("acme"), store.for_tenant("globex")
        for tenant, name in ((acme, "Shop of Acme"), (globex, "Shop of Globex")):
            await tenant.clients.save_client(_client(name))
        names = [
            client.client_name if (client := await tenant.clients.find_client_by_id(CLIENT_ID)) else None
            for tenant in (acme, globex)
        ]
        stage.teller.claim(
            f"two tenants have a client {CLIENT_ID}, each its own",
            names == ["Shop of Acme", "Shop of Globex"],
            " | ".join(map(str, names)),
        )
        handle = await acme.refresh_tokens.store_refresh_token(a_refresh_token())
        stage.teller.claim(
            "a token of one is no token of the other",
            await globex.refresh_tokens.get_refresh_token(handle) is None,
            "None",
        )
        alice = PersistedGrantFilter(subject_id="alice")
        removed = await globex.persisted_grants.remove_all(alice)
        stage.teller.claim(
            "revoking all that Alice has at one leaves the other's alone",
            removed == 0 and await acme.refresh_tokens.get_refresh_token(handle) is not None,
            f"{removed} removed",
        )

        expired = AuthenticationTicket(
            scheme="cookie", principal=SUBJECT, expires=datetime.now(UTC) - timedelta(minutes=1)
        )
        for tenant in (acme, globex):
            await tenant.tickets.store(expired)
        told: list[str] = []
        await store.maintenance.run_once(on_expired_session=lambda _, tenant: told.append(tenant))
        stage.teller.claim(
            "one loop looks after both: their expired sessions are processed",
            sorted(told) == ["acme", "globex"],
            " | ".join(told),
        )

        # The document as an intruder would move it who may write to the database.
        key = grant_key(handle, PersistedGrantType.RefreshToken)
        document = await stage.raw["grants"].find_one({"_id": f"acme|{key}"}) or {}
        await stage.raw["grants"].insert_one(document | {"_id": f"globex|{key}", "tenant": "globex"})
        try:
            await globex.refresh_tokens.get_refresh_token(handle)
            refusal = ""
        except (KeyUnavailable, PayloadUnreadable) as error:
            refusal = type(error).__name__
        stage.teller.claim("a record that is moved over the wall does not open", bool(refusal), refusal)

        gone = await store.tenants.delete("globex")
        tenants = await store.tenants.list()
        stage.teller.claim(
            "one leaves, with all that it had",
            "globex" not in tenants
            and await globex.clients.find_client_by_id(CLIENT_ID) is None
            and await acme.clients.find_client_by_id(CLIENT_ID) is not None,
            f"{gone} records; left: {', '.join(tenants)}",
        )


def _client(name: str) -> Client:
    return Client(
        client_id=CLIENT_ID,
        client_name=name,
        client_secrets=frozenset({Secret.sha256(name)}),
        allowed_grant_types=frozenset({GrantType.AuthorizationCode}),
        redirect_uris=frozenset({"https://shop.example/signin-oidc"}),
    )


TENANTS = Chapter(
    "Walls between tenants",
    "A deployment serves many tenants, in one database or in one each. No method sees, counts, changes or decrypts what "
    "another tenant has.",
    show,
)
