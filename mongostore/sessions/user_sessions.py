"""Sessions as those see them who manage them, and the tickets in them."""

from mongostore.models import AuthenticationTicket, ServerSideSession, UserSession
from mongostore.models.base import from_payload


def ticket_of(session: ServerSideSession) -> AuthenticationTicket | None:
    """The ticket that `Tickets` stored in a session; None when it is the server's own.

    The session knows better than its ticket when it was renewed and expires.
    """
    try:
        ticket = from_payload(AuthenticationTicket, session.ticket)
    except ValueError:
        return None
    return ticket.model_copy(update={"issued": session.renewed, "expires": session.expires})


def user_session(session: ServerSideSession) -> UserSession:
    """A session with the issuer and the clients that its ticket tells of; of a server's own ticket, neither is known."""
    ticket = ticket_of(session)
    return UserSession(
        subject_id=session.subject_id,
        session_id=session.session_id,
        display_name=session.display_name,
        created=session.created,
        renewed=session.renewed,
        expires=session.expires,
        issuer=ticket.issuer if ticket else None,
        client_ids=ticket.client_ids if ticket else [],
        authentication_ticket=session.ticket,
    )
