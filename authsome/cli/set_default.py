"""`authsome set-default`: which connection is meant where none is named."""

from typing import Annotated

from authsome.cli.frame import Argument, Settings, command, data, talk
from authsome.cli.named import Name, not_connected
from authsome.cli.stations import home, open_project, open_vault, sealed, show_catalogue
from authsome.provider import DEFAULT_CONNECTION, check_name


@command("set-default")
def set_default(
    settings: Settings,
    provider: Name,
    connection: Annotated[str, Argument(metavar="CONNECTION", help="The one to use; `default` takes a choice back.")],
) -> None:
    """Choose the account that is used where none is named.

    On this machine and in this profile, `get`, `export` and a run then use that connection's credential for the
    provider's default connection. The agent holds the same placeholder and variables as before. What stores or deletes
    (`login`, `logout`, `remove`) goes by the names themselves.

    Example: authsome set-default openai team
    """
    from authsome import screens
    from authsome.vault import defaults

    sealed("set-default")
    check_name(provider, "provider")
    check_name(connection, "connection")
    vault = open_vault(settings, open_project(settings, show_catalogue(settings)))
    if connection != DEFAULT_CONNECTION and vault.holder(provider, connection) is None:
        raise not_connected(settings, vault, provider, connection)
    if connection == DEFAULT_CONNECTION:
        show_catalogue(settings).find(provider)
    changed = defaults.choose(home(), vault.profile, provider, connection)
    if settings.json:
        answer = {"profile": vault.profile, "provider": provider, "connection": connection, "changed": changed}
        data(screens.as_json("default_connection", **answer))
    else:
        data(f"Where no connection of {provider} is named, it is {connection}{'' if changed else ' already'}.\n")
    if changed:
        talk(settings, "A run that is going on keeps the one it was started with.")
