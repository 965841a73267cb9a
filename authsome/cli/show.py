"""`authsome list`, `get` and `inspect`: what is held and how it is defined, without a secret unless asked for."""

from typing import TYPE_CHECKING, Annotated, Any

from authsome.cli.frame import Option, Settings, command, data, say
from authsome.cli.named import Connection, Name, not_connected
from authsome.cli.stations import open_catalogue, open_project, open_vault, renewing, sealed, show_catalogue
from authsome.errors import AuthsomeError, ExitCode, clean, did_you_mean
from authsome.provider import DEFAULT_CONNECTION, check_name

if TYPE_CHECKING:
    from authsome.provider import Catalogue
    from authsome.vault import Folder


@command("list")
def list_(
    settings: Settings,
    exposed: Annotated[
        bool, Option("--exposed", help="Show what removed members could read and was not replaced since.")
    ] = False,
    available: Annotated[bool, Option("--available", help="Show every provider there is a definition of.")] = False,
    category: Annotated[str | None, Option("--category", help="Only those of ai, dev or business.")] = None,
) -> None:
    """Show what is connected, and whose definition it uses.

    Example: authsome list
    """
    from authsome import screens
    from authsome.provider import Source
    from authsome.screens import project as screen

    if exposed and (available or category is not None):
        raise AuthsomeError(
            "--exposed is about what is held, --available and --category about what could be",
            hint="authsome list --exposed",
            code=ExitCode.USAGE,
        )
    if exposed:
        from authsome.cli import recipients

        recipients.show_exposed(settings)
        return
    catalogue = show_catalogue(settings)
    project = open_project(settings, catalogue)
    held = open_vault(settings, project).states()
    if available or category is not None:
        _list_available(settings, catalogue, {provider for provider, _ in held}, category)
        return
    known = catalogue.names()
    shown = {*held, *(each.key for each in project.connections)}
    named = {provider for provider, _ in shown}
    shown |= {
        (name, DEFAULT_CONNECTION) for name, source in known.items() if source is Source.CUSTOM and name not in named
    }
    rows = [
        {
            "provider": provider,
            "connection": connection,
            "source": str(known.get(provider, "no definition")),
            "default": connection == project.choices.get(provider, DEFAULT_CONNECTION),
            **_state(held.get((provider, connection))),
        }
        for provider, connection in sorted(shown)
    ]
    data(screens.as_json("list", connections=rows) if settings.json else screen.listing(rows))


def _list_available(settings: Settings, catalogue: "Catalogue", connected: set[str], category: str | None) -> None:
    from authsome import screens
    from authsome.provider import CATEGORIES
    from authsome.screens import catalogue as screen

    if category is not None and category not in CATEGORIES:
        hint = did_you_mean(category, CATEGORIES, f"categories: {', '.join(CATEGORIES)}")
        raise AuthsomeError(f"there is no category `{category}`", hint=hint, code=ExitCode.USAGE)
    rows = []
    for name, source in catalogue.names().items():
        try:
            provider = catalogue.get(name)
        except AuthsomeError as error:
            say(clean(f"Left out: {error.message}"))  # NOTE: a name with a line break in it could say anything
            continue
        if category in (None, provider.category):
            rows.append(screen.row(provider, source, connected=name in connected))
    data(screens.as_json("available", providers=rows) if settings.json else screen.available(rows))


def _state(held: "tuple[Folder, str | None] | None") -> dict[str, Any]:
    """Return how a connection stands as far as its file shows without being opened, and which vault has it."""
    if held is None:
        return {"status": "not connected", "vault": None}
    folder, damage = held
    return {"status": "damaged" if damage else "connected", "vault": "home" if folder.own else "project"}


@command("get")
def get(
    settings: Settings,
    provider: Name,
    connection: Connection = DEFAULT_CONNECTION,
    field: Annotated[str | None, Option("--field", help="Show one value, for example `status`.")] = None,
    show_secret: Annotated[bool, Option("--show-secret", help="Show the secret itself.")] = False,
) -> None:
    """Show one connection, without its secret.

    An access token that ends soon is renewed before it is shown.

    Example: authsome get openai --field status
    """
    import time

    from authsome import screens
    from authsome.manifest import undeclared
    from authsome.screens import project as screen
    from authsome.vault import holding

    if show_secret:
        sealed("get --show-secret")
    catalogue = show_catalogue(settings)
    source, _ = catalogue.find(provider)
    project = open_project(settings, catalogue)
    vault = open_vault(settings, project)
    asked = check_name(connection, "connection")
    if asked == DEFAULT_CONNECTION:
        connection = project.choices.get(provider, asked)
    folder = vault.holder(provider, connection)
    entry = folder.read(provider, connection) if folder else None
    if folder is None or entry is None:
        raise not_connected(settings, vault, provider, connection)
    known = catalogue.get(provider)
    if show_secret and entry.grant and field in (None, known.with_tokens.key.name):
        # NOTE: it is sent to its provider; a definition that may only be shown gets nothing.
        entry = renewing(settings, vault)(undeclared(open_catalogue(settings).get(provider), connection))
    seen = entry.of(known)
    held = seen.stand_in(asked, seen.key.name)  # what an agent sends for it
    details = screen.details(holding(entry, known), seen, source, held, own=folder.own, now=time.time())
    details |= entry.fields if show_secret else entry.shown(seen)
    if field is not None:
        if field not in details:
            hint = did_you_mean(field, details, f"fields: {', '.join(details)}")
            raise AuthsomeError(f"{provider} has no field `{field}`", hint=hint, code=ExitCode.USAGE)
        details = {field: details[field]}
    if settings.json:
        data(screens.as_json("connection", **details))
    else:
        data(screens.value(details[field]) + "\n" if field else screens.fields(details))


@command("inspect")
def inspect_(settings: Settings, provider: Name) -> None:
    """Print the definition of a provider as JSON, and nothing else.

    Example: authsome inspect openai > ~/.authsome/providers/openai.json
    """
    import sys

    from authsome.documents import read_text
    from authsome.provider import Catalogue

    catalogue = show_catalogue(settings)
    path = catalogue.find(provider)[1]
    if path.is_file() and not path.stat().st_size and provider in Catalogue(None).names():
        # In `inspect openai > ~/.authsome/providers/openai.json` the shell has made an empty file of one's own, which
        # hides the bundled one, before this begins.
        catalogue = Catalogue(None)
    catalogue.get(provider)
    text = read_text(catalogue.find(provider)[1])
    # JSON can hold C1 controls and what turns the direction of writing; a file gets all of it as it is.
    data(clean(text, "\r\n\t") if sys.stdout.isatty() else text)
