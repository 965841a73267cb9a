"""What commands about one connection share: how it is named, and what is said if it is not there."""

from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Option, Settings, talk
from authsome.cli.stations import again, show_catalogue
from authsome.errors import AuthsomeError, ExitCode, did_you_mean

if TYPE_CHECKING:
    from authsome.manifest import Declared, Project
    from authsome.provider import Provider
    from authsome.vault import Vault

Name = Annotated[str, Argument(metavar="PROVIDER", help="The provider, for example `openai`.")]
Connection = Annotated[str, Option("--connection", help="Which of several accounts.")]


def declared(project: "Project", provider: "Provider", connection: str) -> "Declared":
    """Return the connection as the manifest declares it, or as if it had."""
    from authsome import manifest

    for each in project.connections:
        if each.key == (provider.name, connection):
            return each
    made = manifest.Project(None, None, (manifest.undeclared(provider, connection),))
    return made.filled(project.choices).connections[0]


def not_connected(settings: Settings, vault: "Vault", provider: str, connection: str) -> AuthsomeError:
    """Return the error that a connection is not there, with the nearest that is."""
    from authsome.manifest import login_command

    show_catalogue(settings).find(provider)
    others = [name for known, name in vault.names() if known == provider]
    hint = did_you_mean(connection, others, f"it has: {', '.join(others)}") if others else None
    return AuthsomeError(
        f"{provider} ({connection}) is not connected",
        hint=hint or login_command(provider, connection) + again(settings),
        code=ExitCode.MISSING,
    )


def forget_choice(settings: Settings, vault: "Vault", provider: str, gone: tuple[str, ...]) -> None:
    """Take back that a connection was chosen with `set-default` when nothing holds it any more."""
    from authsome.vault import defaults

    nowhere = tuple(name for name in gone if vault.holder(provider, name) is None)
    if defaults.forget(vault.home, vault.profile, provider, nowhere):
        talk(settings, f"Where no connection of {provider} is named, it is `default` again.")
