"""The screens of `authsome remove` and `authsome revoke`."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Removal:
    """What went.

    Attributes:
        kind: `remove` or `revoke`.
        vault: The folder that held it.
        keys_url: Where the provider ends keys, None if that is not known.
        definition: The user's own, which stays.
    """

    kind: str
    provider: str
    connections: Sequence[str]
    vault: str
    keys_url: str | None
    definition: str | None


def removal(done: Removal) -> str:
    """Return the answer in a line."""
    return f"Removed {done.provider} ({', '.join(done.connections)}).\n"


def removal_data(done: Removal) -> dict[str, Any]:
    """Return the answer for JSON."""
    return {
        "provider": done.provider,
        "connections": list(done.connections),
        "vault": done.vault,
        "valid_at_provider": True,  # no API key can be ended from here
        "keys_url": done.keys_url,
        "definition": done.definition,
    }


def after(done: Removal, left: str | None) -> Iterator[str]:
    """Yield what the person should know afterwards; `left` is the vault that still holds something of it."""
    where = done.keys_url or "the provider"
    keys, them = ("key is", "it") if len(done.connections) == 1 else ("keys are", "them")
    if done.kind == "revoke":
        yield f"{done.provider} cannot be asked to end an API key: the {keys} still valid. Delete {them} at {where}"
    else:
        yield f"The {keys} still valid at the provider; to end {them}: {where}"
    if left:
        yield f"Still held: {done.provider} in {left}"
    if done.definition:
        yield f"Your own definition stays; to delete it: rm {shlex.quote(done.definition)}"
