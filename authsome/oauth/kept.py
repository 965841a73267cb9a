"""Tokens as a vault keeps them.

Promises that what an answer leaves out is not lost: no new refresh token means that the old one goes on (RFC 6749, 6),
and the one before the newest stays until the newest tokens have worked. Pure: the time is an argument.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from authsome.oauth import Client, Tokens
from authsome.vault import Entry, Grant

ACCESS, REFRESH, FORMER = "access_token", "refresh_token", "former_refresh_token"
"""The secrets of a connection of tokens."""


def kept(
    tokens: Tokens,
    before: Entry | None,
    *,
    flow: str,
    hosts: Iterable[str],
    asked: tuple[str, ...],
    now: float,
    extra: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], Grant]:
    """Return the fields to store, secret, and what is known of them.

    Args:
        before: The entry that these tokens renew; None for those of a new login.
        hosts: Where what renews them may go.
        asked: The scopes that were asked for.
        now: Seconds since 1970, when the answer was there.
        extra: Further fields of the connection: its settings, or what its tokens are signed for with.
    """
    fields = {**(before.fields if before else {}), **(extra or {}), ACCESS: tokens.access_token}
    held = fields.get(REFRESH)
    if tokens.refresh_token and tokens.refresh_token != held:
        fields[REFRESH] = tokens.refresh_token
        fields.pop(FORMER, None)
        if held:
            fields[FORMER] = held
    scopes = tokens.scopes
    if scopes is None:  # RFC 6749, 5.1: what was asked for; and of a renewal (6): what was granted before
        scopes = before.grant.scopes if before and before.grant else asked
    grant = Grant(
        flow=flow,
        hosts=tuple(sorted(hosts)),
        scopes=tuple(dict.fromkeys(scopes)),
        asked=tuple(dict.fromkeys(asked)),
        issued_at=now,
        expires_at=None if tokens.expires_in is None else now + tokens.expires_in,
        client_id=before.grant.client_id if before and before.grant else None,
    )
    return fields, grant


def refused(entry: Entry, error: str) -> tuple[dict[str, str], Grant | None]:
    """Return the fields and the grant of tokens for which the provider gives no new ones.

    Args:
        error: Its word for why.
    """
    return dict(entry.fields), entry.grant and replace(entry.grant, refused=error)


_MORE = "more_"
_ID, _SECRET, _REDIRECT, _METHOD, _EXPIRES = "client_id", "client_secret", "redirect_uri", "auth_method", "expires_at"


def client_fields(client: Client) -> dict[str, str]:
    """Return an application as the fields of an entry, secret."""
    said = {
        _ID: client.client_id,
        _SECRET: client.client_secret,
        _REDIRECT: client.redirect_uri,
        _METHOD: client.auth_method,
        _EXPIRES: None if client.expires_at is None else repr(client.expires_at),
    }
    more = {_MORE + name: text for name, text in client.more.items()}
    return {name: text for name, text in said.items() if text is not None} | more


_OTHERS = "others"
_MOST_OTHERS = 16


def applications(entry: Entry) -> tuple[tuple[Client, frozenset[str]], ...]:
    """Return the applications that were kept for a provider and the hosts that each was given for, the newest first.

    There are several where each customer has an address of their own, or one has registered itself more than once:
    tokens are renewed by the application alone that they were given to.
    """
    others = json.loads(entry.fields.get(_OTHERS, "[]"))
    newest = client_from(entry.fields), frozenset(entry.hosts)
    return (newest, *((client_from(fields), frozenset(hosts)) for fields, hosts in others))


def applications_fields(client: Client, others: Iterable[tuple[Client, frozenset[str]]]) -> dict[str, str]:
    """Return the newest application and those before it as the fields of an entry, secret."""
    before = [(client_fields(each), sorted(hosts)) for each, hosts in others][:_MOST_OTHERS]
    return client_fields(client) | ({_OTHERS: json.dumps(before)} if before else {})


def client_from(fields: Mapping[str, str]) -> Client:
    """Return the application that was kept in these fields."""
    expires_at = fields.get(_EXPIRES)
    return Client(
        fields[_ID],
        fields.get(_SECRET),
        fields.get(_REDIRECT),
        fields.get(_METHOD),
        None if expires_at is None else float(expires_at),
        {name.removeprefix(_MORE): text for name, text in fields.items() if name.startswith(_MORE)},
    )
