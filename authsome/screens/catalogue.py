"""The screens of the providers that there are definitions of."""

from collections.abc import Mapping, Sequence
from typing import Any

from authsome.provider import Provider, Source
from authsome.screens import table


def row(provider: Provider, source: Source, *, connected: bool) -> dict[str, Any]:
    """Return one provider of `authsome list --available --json`."""
    return {
        "provider": provider.name,
        "display_name": provider.display_name,
        "category": provider.category,
        "auth_type": provider.auth_type,
        "source": str(source),
        "connected": connected,
    }


def available(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `authsome list --available`."""
    cells = [
        (
            *(each["provider"], each["display_name"], each["category"] or "-"),
            *(LOGINS[each["auth_type"]], "yes" if each["connected"] else "no", each["source"]),
        )
        for each in rows
    ]
    return table([("PROVIDER", "NAME", "CATEGORY", "LOGIN", "CONNECTED", "SOURCE"), *cells])


LOGINS = {"api_key": "key", "oauth2": "OAuth"}
