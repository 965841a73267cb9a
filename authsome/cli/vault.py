"""`authsome vault`: the files themselves."""

import os
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from authsome.cli.frame import Argument, Exit, Settings, command, data, group
from authsome.cli.stations import home
from authsome.errors import AuthsomeError, ExitCode, file_errors

_of = partial(command, of=group("vault", "Look after the vault's files."))
_MAX_BYTES = 16 << 20


@_of("verify")
def verify(
    settings: Settings,
    folder: Annotated[
        Path | None,
        Argument(metavar="[FOLDER]", help="What holds `profiles/`, for example `.authsome`; else the home."),
    ] = None,
) -> None:
    """Check that a vault holds nothing but encrypted files.

    Needs no identity, and so cannot tell who wrote an entry: whoever uses it does that. Ends with 5 and the names of
    the files where something is wrong; fit for a pre-commit hook.

    Example: authsome vault verify .authsome
    """
    from authsome import screens
    from authsome.vault.sound import verify

    if folder is not None and not folder.is_dir():
        raise AuthsomeError(
            f"there is no folder {folder}", hint="name the folder that holds `profiles/`", code=ExitCode.USAGE
        )
    looked = folder or home()
    found = verify(looked, private=looked.absolute() == home().absolute())
    data(screens.as_json("vault", **screens.soundness_data(found)) if settings.json else screens.soundness(found))
    if found.problems:
        raise Exit(ExitCode.INTEGRITY)


@_of("textconv")
def textconv(
    settings: Settings, path: Annotated[Path, Argument(metavar="FILE", help="One of a vault's files.")]
) -> None:
    """Say of an encrypted file what git can show in a diff.

    To everybody that is whom it is for, how much it holds and a fingerprint. Where your identity can be read without
    asking (not from AUTHSOME_IDENTITY_COMMAND), also names, generation, hosts, and the fields with their sizes; of a
    keyring the members. Never a value.

    Example: git config diff.authsome.textconv "authsome vault textconv"
    """
    from authsome import isolation, screens
    from authsome.vault import PROJECT_FOLDER
    from authsome.vault.armor import FormError, look
    from authsome.vault.inside import Reader

    isolation.withhold()  # before there is a secret in this process
    with file_errors("read", path), path.open("rb") as opened:
        content = opened.read(_MAX_BYTES)
    shown: dict[str, object] = {"sha256": sha256(content).hexdigest()}
    try:
        outside = look(content)
    except FormError as error:  # a diff of a damaged file is wanted, too
        shown |= {"state": f"this file {error}"}
    else:
        shown |= {"state": "encrypted", "recipients": list(outside.stanzas), "bytes": outside.size}
        here = Path.cwd()
        roots = (*(folder / PROJECT_FOLDER for folder in (here, *here.parents)), home())
        shown |= Reader(home(), os.environ, settings.identity, roots).describe(content, path)
    data(screens.as_json("vault_file", **shown) if settings.json else screens.vault_file(shown))
