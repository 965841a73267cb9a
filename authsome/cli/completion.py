"""`authsome completion`: what a shell needs to complete command lines, and what it then asks.

Names are listed, never decrypted; nobody is asked, and whatever is broken offers nothing.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Settings, command, data, tree
from authsome.cli.stations import home, open_project, open_vault, show_catalogue
from authsome.errors import AuthsomeError, ExitCode, did_you_mean

if TYPE_CHECKING:
    from authsome.completion import Typed
    from authsome.vault import Vault

_SHELLS = ("bash", "zsh", "fish")
_OF_HELD = frozenset({"get", "logout", "remove", "revoke", "set-default", "export", "test"})
"""Commands about what is held already."""


@command("completion")
def completion(
    settings: Settings,
    shell: Annotated[str, Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what makes a shell complete commands and names.

    bash: add `eval "$(authsome completion bash)"` to ~/.bashrc; zsh: the same with `zsh` to ~/.zshrc, after `compinit`;
    fish: `authsome completion fish | source` in its config.fish.

    Example: eval "$(authsome completion bash)"
    """
    from authsome import screens

    if shell not in _SHELLS:
        hint = did_you_mean(shell, _SHELLS, f"shells: {', '.join(_SHELLS)}")
        raise AuthsomeError(f"there is no completion for `{shell}`", hint=hint, code=ExitCode.USAGE)
    script = SCRIPTS[shell]
    data(screens.as_json("completion", shell=shell, script=script) if settings.json else script)


@command("__complete", hidden=True, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def complete(
    settings: Settings,
    shell: Annotated[str, Argument()],
    place: Annotated[int, Argument()],
    words: Annotated[list[str], Argument()],
) -> None:
    """Answer a shell: how to complete the word at a place, then one offer a line.

    Example: authsome __complete zsh 1 authsome lo
    """
    from authsome.completion import offer, split_by_bash

    del settings
    given, at = split_by_bash(words, place) if shell == "bash" else (words, place)
    found = str(offer(tree(), given, at, _known))
    # bash completes only what stands behind the `=`.
    prefix = given[at].partition("=")[0] + "=" if at != place and at < len(given) else ""
    data("".join(line.removeprefix(prefix) for line in found.splitlines(keepends=True)))


def _known(kind: str, typed: "Typed") -> Iterable[tuple[str, str]] | None:
    """Return the names of a kind; None where a file could be meant."""
    if kind in _FILES:
        return None
    if kind == "name" and typed.path[:1] == ["profile"] and typed.path[1:] != ["create"]:
        return _profiles(typed)
    if kind == "name" and typed.path == ["schema"]:
        return _schemas()
    listing = _LISTINGS.get(kind)
    return listing(typed) if listing else []


def _providers(typed: "Typed") -> "Names":
    """Return the providers that make sense for a command: those that are held, or all of them."""
    held = {name for name, _ in _held(typed)}
    names: dict[str, str] = {}
    with suppress(AuthsomeError, OSError, RuntimeError):
        names = {name: str(source) for name, source in show_catalogue(_said(typed)).names().items()}
    if held and typed.path[:1] and typed.path[0] in _OF_HELD:
        return [(name, "connected") for name in sorted(held)]
    return [(name, "connected" if name in held else text) for name, text in names.items()]


def _connections(typed: "Typed") -> "Names":
    provider = (typed.values.get("provider") or [""])[0]
    return [(name, "") for name in sorted({name for known, name in _held(typed) if provider in ("", known)})]


def _said(typed: "Typed") -> Settings:
    """Return the options that are typed so far."""
    profile, file = ("".join(typed.values.get(name, ())) or None for name in ("profile", "file"))
    return Settings(profile=profile, file=file, no_input=True)


def _vault(typed: "Typed") -> "Vault | None":
    """Return the vault that the typed options mean, unopened."""
    settings = _said(typed)
    with suppress(AuthsomeError, OSError, RuntimeError):
        try:
            return open_vault(settings, open_project(settings, show_catalogue(settings)))
        except AuthsomeError:  # a manifest that is being written, for example
            return open_vault(settings)
    return None


def _held(typed: "Typed") -> list[tuple[str, str]]:
    with suppress(AuthsomeError, OSError):
        if vault := _vault(typed):
            return vault.names()
    return []


def _profiles(typed: "Typed") -> "Names":
    from authsome.vault import profiles

    found: set[str] = set()
    with suppress(AuthsomeError, OSError, RuntimeError):
        found |= set(profiles.listed(home()))
        vault = _vault(typed)
        if vault and vault.shared:
            found |= set(profiles.listed(vault.shared.path.parents[1]))
    return [(name, "") for name in sorted(found)]


def _formats(typed: "Typed") -> "Names":
    from authsome.export import Format
    from authsome.found import Form

    return [(str(each), "") for each in (Form if typed.path == ["import"] else Format)]


def _flows(typed: "Typed") -> "Names":
    """Return the ways to log in to the provider that is named, all of them where none is."""
    from typing import get_args

    from authsome.provider import Flow

    for name in typed.values.get("provider", [])[:1]:
        with suppress(AuthsomeError, OSError, RuntimeError):
            provider = show_catalogue(_said(typed)).get(name)
            keys = ["api_key"] if provider.auth_type == "api_key" else []
            return [(each, "") for each in (*keys, *(provider.oauth.asks.flows if provider.oauth else ()))]
    return [(each, "") for each in get_args(Flow)]


def _categories(_: "Typed") -> "Names":
    from authsome.provider import CATEGORIES

    return [(name, "") for name in CATEGORIES]


def _schemas() -> "Names":
    from authsome import schemas

    return list(schemas.titles().items())


def _presets(_: "Typed") -> "Names":
    from authsome.provider import bundled

    return [(path.stem, "") for path in sorted(bundled("profiles").glob("*.yaml"))]


def _shells(_: "Typed") -> "Names":
    return [(name, "") for name in _SHELLS]


def _topics(typed: "Typed") -> "Names":
    said = typed.values.get("topic", [])
    place = tree()
    for word in said:
        if word not in place.commands:
            return []
        place = place.commands[word]
    own = [] if said else [("exit-codes", "What exit codes mean."), ("environment", "Variables that are read.")]
    return [*own, *((each.name, each.summary) for each in place.commands.values())]


type Names = list[tuple[str, str]]

_LISTINGS: "dict[str, Callable[[Typed], Names]]" = {
    "provider": _providers,
    "connection": _connections,
    "profile": _profiles,
    "flow": _flows,
    "form": _formats,
    "category": _categories,
    "doing": lambda _: [("suggest-rules", "Propose `allow` lines from what was used.")],
    "preset": _presets,
    "shell": _shells,
    "topic": _topics,
}
"""What there is of each kind; a kind is a parameter's name."""

_FILES = frozenset({"file", "identity", "recipient"})
"""Kinds that are files, or can be."""

_BASH = r"""# What bash completes for authsome: eval "$(authsome completion bash)"
_authsome() {
    local program="${1/#\~/$HOME}" cur="${COMP_WORDS[COMP_CWORD]}" how="" line start
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $how ]]; then how=$line; else COMPREPLY+=("${line%%$'\t'*}"); fi
    done < <("$program" __complete bash "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null </dev/null)
    case $how in
        files) compopt -o default ;;
        command\ *)
            start=${how#command }
            if declare -F _command_offset >/dev/null; then
                _command_offset "$start"
            elif ((COMP_CWORD == start)) && [[ $cur != */* ]]; then
                while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -c -- "$cur")
            else
                compopt -o default
            fi
            ;;
    esac
}
complete -F _authsome authsome
"""

_ZSH = r"""#compdef authsome
# What zsh completes for authsome: eval "$(authsome completion zsh)", after compinit
_authsome() {
    local how line start
    local -a found
    while IFS= read -r line; do
        if [[ -z $how ]]; then how=$line; else found+=("${line/$'\t'/:}"); fi
    done < <("${words[1]/#\~/$HOME}" __complete zsh $((CURRENT - 1)) "${(@Q)words}" 2>/dev/null </dev/null)
    case $how in
        names) _describe authsome found ;;
        files) _files ;;
        command\ *)
            start=${how#command }
            shift $start words
            ((CURRENT -= start))
            _normal
            ;;
    esac
}
if [[ $funcstack[1] == _authsome ]]; then _authsome "$@"; else compdef _authsome authsome; fi
"""

_FISH = r"""# What fish completes for authsome: authsome completion fish | source
function __authsome_complete
    set -l cur (commandline -ct)
    set -l words (commandline -opc) "$cur"
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l place (math (count $words) - 1)
    set -l said (command $program __complete fish $place $words 2>/dev/null </dev/null)
    switch "$said[1]"
        case names
            test (count $said) -gt 1; and printf '%s\n' $said[2..-1]
        case files
            __fish_complete_path "$cur"
        case 'command *'
            set -l start (string replace 'command ' '' -- $said[1])
            complete -C (string join ' ' -- (string escape -- $words[(math $start + 1)..-2]) "$cur")
    end
end
complete -c authsome -e
complete -c authsome -f -a '(__authsome_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
