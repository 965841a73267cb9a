"""`authsome schema`: the form of every file that is read and of every answer in JSON."""

from typing import Annotated

from authsome.cli.frame import Argument, Option, Settings, command, data
from authsome.errors import AuthsomeError, ExitCode
from authsome.schemas import MANIFEST


@command("schema")
def schema(
    settings: Settings,
    name: Annotated[
        str | None,
        Argument(metavar="[NAME]", help="`definition`, or `output/KIND` for an answer; else that of authsome.yaml."),
    ] = None,
    listing: Annotated[bool, Option("--list", help="Show the names there are.")] = False,
) -> None:
    """Print a JSON Schema, of a file or of an answer.

    An editor checks and completes a file that says where its schema is. The first line of authsome.yaml:
    `# yaml-language-server: $schema=.authsome/schema.json`; in a definition the key `$schema`.

    Example: authsome schema > .authsome/schema.json
    """
    from authsome import schemas, screens

    if not listing:
        data(schemas.text(name or MANIFEST))  # which is JSON, and the whole answer
        return
    if name is not None:
        raise AuthsomeError("--list shows all names", hint="authsome schema --list", code=ExitCode.USAGE)
    titles = schemas.titles()
    if settings.json:
        shown = [{"name": each, "title": title} for each, title in titles.items()]
        data(screens.as_json("schemas", schemas=shown))
    else:
        data(screens.table([("NAME", "DESCRIBES"), *titles.items()]))
