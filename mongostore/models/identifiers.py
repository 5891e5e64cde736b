"""What an identifier may be: any non-empty text up to 1,000 characters, compared byte for byte, none of them special.

Saving anything else is refused; looking anything else up finds nothing.
"""

MAX_IDENTIFIER_LENGTH = 1_000

MAX_NAMED = 10_000
"""How many things one call may name."""


_SURROGATE = "must be text that UTF-8 can encode (it has a lone surrogate)"


def is_encodable(text: str) -> bool:
    """Tell whether a text can be stored: a lone surrogate can't."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def utf8_length(name: str, text: str) -> int:
    """How many bytes a text has in UTF-8.

    Raises:
        ValueError: it has a lone surrogate. It is not repeated, nor chained: Python's error carries the text.
    """
    if not is_encodable(text):
        raise ValueError(f"{name} {_SURROGATE}")
    return len(text.encode())


def identifier_problem(value: object) -> str | None:
    """Say what keeps `value` from being an identifier, or None. It is not repeated: it may be a handle."""
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if not value:
        return "must not be empty"
    if len(value) > MAX_IDENTIFIER_LENGTH:
        return f"must not be longer than {MAX_IDENTIFIER_LENGTH:,} characters (it has {len(value):,})"
    if "\0" in value:
        return "must not contain a NUL character"
    return None if is_encodable(value) else _SURROGATE


def is_identifier(value: object) -> bool:
    """True when something can be stored, and so found, under `value`."""
    return identifier_problem(value) is None


def check_identifier(name: str, value: object) -> str:
    """Give `value` back when it is an identifier.

    Args:
        name: what it identifies, for the message ("client_id").

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, too long, or holds what cannot be stored.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    # Nearly every identifier is of this kind, and every grant that is stored has five.
    if 0 < len(value) <= MAX_IDENTIFIER_LENGTH and value.isascii() and "\0" not in value:
        return value
    problem = identifier_problem(value)
    if problem is not None:
        raise ValueError(f"{name} {problem}")
    return value
