"""What a provider sends a person back with (RFC 6749, 4.1.2; RFC 8252, 7.3).

Promises that what comes back is believed for its `state` alone, compared in constant time, and that a pasted address is
the one that the login was begun with. Refuses a parameter that is there twice, and to quote what it was given.
"""

import hmac
from urllib.parse import parse_qsl, urlsplit

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import AuthorizationRequest

PORT = 7998
"""Of this machine; an application's callback address is written down at its provider, with the port."""
PATH = "/callback"
LONGEST = 16 << 10
"""Characters of a query; codes are mostly below 1 KiB, those that are signed objects below 4."""
_MOST = 64
"""Parameters of a query; a redirect has up to ten."""


def address(port: int) -> str:
    """Return where a provider sends a person back to."""
    return f"http://127.0.0.1:{port}{PATH}"


def state_of(query: str) -> str | None:
    """Return what a query says to be the `state`; None if it says so not once, or anything twice (RFC 6749, 3.1)."""
    if len(query) > LONGEST or not query.isascii():
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST)
    except ValueError:
        return None
    found = dict(pairs)
    return found.get("state") or None if len(found) == len(pairs) else None


def belongs(state: str, request: AuthorizationRequest) -> bool:
    """Whether a state is a login's own."""
    return hmac.compare_digest(state.encode(errors="replace"), request.state.encode())


def pasted(text: str, request: AuthorizationRequest) -> str:
    """Return the query of a pasted address; raise (exit code 2) if this login does not come back with it."""
    text = "".join(text.split()).partition("#")[0]  # wrapped where it was copied; a fragment is not the provider's
    before, mark, query = text.partition("?")
    if not mark:
        before, query = "", text
    own = request.redirect_uri
    if before not in ("", own, own.partition("://")[2]) or "=" not in query:
        raise AuthsomeError(
            "This is not the address that the login comes back to.",
            hint=f"copy the whole address once the browser shows one that begins with {own}",
            code=ExitCode.USAGE,
        )
    state = state_of(query)
    if state is None or not belongs(state, request):
        raise AuthsomeError(
            "This is the address of another login, or not all of it.",
            hint="copy the whole address of the login that was begun last",
            code=ExitCode.USAGE,
        )
    return query


def safe(url: str, display_name: str) -> str:
    """Return an address that a person may be led to; raise (exit code 8) if it is not https and nothing else."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    # NOTE: a backslash is a slash to a browser, so that the host would be another one than is shown here.
    strange = not url.isascii() or not url.isprintable() or " " in url or "\\" in url
    if strange or not url.startswith("https://") or not host:
        raise AuthsomeError(
            f"{display_name} would send you to an address that is not https.",
            hint="nobody was sent there; look at its definition with `authsome inspect`",
            code=ExitCode.REFUSED,
        )
    return url
