"""What is wrong with a definition, and what is unwise about it.

Promises that a definition without an error loads, that everything has its line, and that one mistake does not hide the
next one: it is taken out, in memory, and the rest is looked at again. Refuses to guess where a mistake leaves nothing
to go by; what could only be its consequence is not said.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authsome import documents, grants, provider
from authsome.documents import Document, Misfit, Where
from authsome.errors import AuthsomeError
from authsome.provider import Definition, Field, Host, OAuthDefinition, Provider, check_name

_LONG = 256
"""Characters of a pattern that somebody may still read."""
_PAGES = ("www.", "app.", "web.", "my.", "console.", "dashboard.")


class Severity(StrEnum):
    """How bad it is: whether the definition does not load, or only could be better."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark.

    Attributes:
        line: None for what is about the whole file.
    """

    line: int | None
    severity: Severity
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say of a file.

    Attributes:
        path: What the file is called.
        provider: None where there is an error.
    """

    path: str
    provider: Provider | None
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a kind."""
        return sum(each.severity is severity for each in self.findings)


@dataclass(frozen=True, slots=True)
class Known:
    """What a definition is compared with.

    Attributes:
        providers: All that there are.
        bundled: The names of those that come with the program.
    """

    providers: tuple[Provider, ...] = ()
    bundled: frozenset[str] = frozenset()


def unread(path: Path, error: AuthsomeError) -> Report:
    """Return the report on a file that holds no JSON, or cannot be read."""
    placed = re.match(r":(\d+): (.*)", error.message.removeprefix(str(path)), re.DOTALL)
    line, message = (int(placed[1]), placed[2]) if placed else (None, error.message)
    return Report(str(path), None, (Finding(line, Severity.ERROR, message, error.hint),))


def check(path: Path, text: str, known: Known, *, loaded: bool = False) -> Report:
    """Return the report on the text of a file.

    Args:
        loaded: Whether the file lies where it is loaded from, so that it has to be called like the provider.
    """
    try:
        document = documents.parse_json(path, text)
    except AuthsomeError as error:
        return unread(path, error)
    wrong = [*_mistakes(document), *_misnamed(document, loaded=loaded)]
    found = [_finding(document, Severity.ERROR, each) for each in wrong]
    given = None if wrong else provider.read(document)
    if given:
        unwise = [*_all_unwise(document, given, known), *([] if loaded else _misnamed(document, loaded=True))]
        found += [_finding(document, Severity.WARNING, each) for each in unwise]
    return Report(str(path), given, tuple(sorted(found, key=lambda each: each.line or 0)))


def _finding(document: Document, severity: Severity, found: Misfit) -> Finding:
    return Finding(document.line(found.where), severity, found.message, found.hint)


# What does not load.


def _mistakes(document: Document) -> Iterator[Misfit]:
    """Yield every mistake that can be told from the others."""
    data = json.loads(document.text)  # what is mended; the file stays as it is
    seen: list[Misfit] = []
    while len(seen) < documents.MAX_MISFITS:
        new = [each for each in _found(replace(document, data=data)) if each not in seen]
        yield from new
        seen += new
        if not (new and isinstance(data, dict) and all(_mend(data, each.where) for each in reversed(new))):
            return


def _found(document: Document) -> tuple[Misfit, ...]:
    """Return what a reader of the document finds: what has a wrong form, else the first that has no meaning."""
    if misfits := documents.misfits(Definition, document):
        return tuple(_told(each) for each in misfits)
    try:
        grants.of(documents.shape(Definition, document))
    except provider.MistakeError as error:
        return (Misfit(error.where, str(error)),)
    return ()


_NO_PART = {
    "client_id": "a login asks for it, or `client.client_id_env` names the variable that it is in",
    "client_secret": "a login asks for it, or `client.client_secret_env` names the variable that it is in",
    "redirect_uri": "it is http://127.0.0.1:7998/callback, with which the application has to be registered",
    "state": "a login makes its own",
}
"""What other programs have in such a file."""


def _told(found: Misfit) -> Misfit:
    """Return what is wrong, with where it belongs instead."""
    match found.where:
        case ("oauth", str(name)) if name in _NO_PART:
            return Misfit(found.where, f"`{name}` is no part of a definition", _NO_PART[name])
    return found


def _mend(data: dict[str, Any], where: Where) -> bool:
    """Take out what stands in a place, or put something in it that is right; return False where that cannot be."""
    match where:
        case () | ("fields",) | ("inject",) | ("auth_type",):
            return False
        case ("name",):
            data["name"] = "mended"
        case ("api_key",):
            data["api_key"] = {}
        case ("host_url", *place):
            _mend_hosts(data, place)
        case ("test", *_):
            data.pop("test", None)
        case ("flow",) if data.get("auth_type") == "oauth2":
            _mend_oauth(data, ())
        case ("oauth", *place):
            _mend_oauth(data, tuple(place))
        case ("inject", int(index), *_):
            data["inject"][index] = {"header": f"X-Mended-{index}", "value": f"{{{_secret(data)}}}"}
        case ("fields", name):
            each = data["fields"][name]
            kept = each if isinstance(each, dict) else {}
            data["fields"][name] = {key: kept[key] for key in ("label", "secret", "env") if key in kept}
        case _:
            _take_out(data, where)
    return True


_MENDED = "https://mended.invalid/"


def _mend_oauth(data: dict[str, Any], place: Where) -> None:
    """Take out what stands in a place of `oauth`, or put in something right where its lack would be a mistake, too."""
    asks = data.get("oauth")
    if not isinstance(asks, dict):
        asks = data["oauth"] = {}
        place = ()
    match place:
        case ():  # whatever leads to no token, or to another than the flow needs
            asks |= {"authorization_url": _MENDED, "token_url": _MENDED}
            if data.get("auth_type") == "oauth2":
                data["flow"] = "pkce"
            elif data.get("inject"):
                asks.setdefault("inject", [{"value": "{access_token}"}])
        case (("jwt_bearer" | "client_credentials") as name,):
            asks[name] = {}
        case ("app_installation", *_):
            asks["app_installation"] = {"url": f"{_MENDED}{{installation_id}}"}
        case (str(name),) if name in _ADDRESSES:
            asks[name] = _MENDED
        case ("inject", int(index), *_):
            asks["inject"][index] = {"header": f"X-Mended-{index}", "value": "{access_token}"}
        case ("revocation", *_):
            asks.pop("revocation", None)
        case _:
            _take_out(asks, place)


_ADDRESSES = frozenset(
    {each.name for each in fields(OAuthDefinition) if each.name.endswith("_url")} | {"registration_endpoint", "issuer"}
)


def _take_out(data: Any, where: Where) -> None:
    for part in where[:-1]:
        data = data[part]
    with suppress(KeyError, IndexError):
        del data[where[-1]]


def _mend_hosts(data: dict[str, Any], place: list[str | int]) -> None:
    """Put a host in the place of a wrong one; add those that are named elsewhere, or they would be wrong there."""
    hosts = data.get("host_url")
    if isinstance(hosts, list) and place:
        hosts[int(place[0])] = "mended.invalid"
    else:
        hosts = data["host_url"] = ["mended.invalid"]
    with suppress(TypeError, KeyError, AttributeError):  # as long as their own form is wrong
        ways = (*data.get("inject", ()), *(data.get("oauth") or {}).get("inject", ()))
        named = [host for each in ways for host in each.get("hosts", ())]
        named += [urlsplit(data["test"]["url"]).netloc] if "test" in data else []
        hosts += [host for host in named if _is_host(host)]


def _is_host(text: str) -> bool:
    try:
        Host.declared(text)
    except ValueError:
        return False
    return True


def _secret(data: Mapping[str, Any]) -> str:
    """Return the name of the first secret."""
    if data.get("auth_type") == "oauth2":
        return "access_token"
    with suppress(AttributeError, StopIteration):  # as above
        return next(str(name) for name, each in (data.get("fields") or {}).items() if each.get("secret", True))
    return "api_key"


def _misnamed(document: Document, *, loaded: bool) -> Iterator[Misfit]:
    """Yield what is wrong with the provider's name."""
    name = document.data.get("name") if isinstance(document.data, dict) else None
    if not isinstance(name, str):
        return
    try:
        check_name(name, "provider")
    except AuthsomeError as error:
        yield Misfit(("name",), error.message, error.hint)
    else:
        if loaded and document.path.suffix == ".json" and document.path.stem != name:
            yield Misfit(("name",), f"is named `{name}` inside, so its file has to be called {name}.json")


# What loads, and is unwise.


def _all_unwise(document: Document, given: Provider, known: Known) -> Iterator[Misfit]:
    definition = documents.shape(Definition, document)
    others = [each for each in known.providers if each.name != given.name]
    yield from _links(definition)
    if given.name in known.bundled:
        yield Misfit(("name",), f"takes the place of the bundled definition of {given.name}")
    yield from _shared(definition, given, others)
    yield from _hosts(given)
    yield from _test(given)
    if definition.auth_type == "api_key":
        yield from _keys(definition, given)
    if definition.oauth:
        yield from _tokens(definition, definition.oauth, given)


def _links(definition: Definition) -> Iterator[Misfit]:
    for name, link in (("docs", definition.docs), ("keys_url", definition.keys_url)):
        if link is not None and not re.fullmatch(r"https://[!-~]+", link):
            yield Misfit((name,), f"`{name}` is no https link")


def _keys(definition: Definition, given: Provider) -> Iterator[Misfit]:
    if given.keys_url is None:
        yield Misfit((), "`keys_url` is missing: a login cannot say where a key comes from")
    if given.test is None:
        yield Misfit((), "`test` is missing: a wrong key is not noticed before it is used")
    if not given.env:
        yield Misfit(("api_key",), "no variable is named: programs are not told that there is a key")
    short = definition.api_key is not None
    for field in given.fields:
        where: Where = ("api_key", "key_pattern") if short else ("fields", field.name, "pattern")
        yield from (Misfit(where, message) for message in _pattern(field, str(where[-1])))


def _tokens(definition: Definition, asks: OAuthDefinition, given: Provider) -> Iterator[Misfit]:
    if set(asks.flows) - {"dcr_pkce"} and definition.docs is None:
        yield Misfit((), "`docs` is missing: a login cannot say where an application is made")
    if definition.auth_type == "oauth2" and not given.env:
        yield Misfit((), "`export` is missing: programs are not told that there is a token")
    if definition.client and definition.client.client_secret_env and not definition.client.client_id_env:
        yield Misfit(("client",), "`client_id_env` is missing: a secret without its application is not read")
    if asks.pkce is False and asks.auth_methods == ("none",):
        yield Misfit(("oauth", "pkce"), "without a secret and without PKCE, whoever sees a code has the token")


def _pattern(field: Field, key: str) -> Iterator[str]:
    if field.pattern is None:
        if field.secret:
            yield f"`{key}` is missing: whatever is pasted in place of {field.name} would be stored"
        return
    text = field.pattern.pattern
    if not (text.startswith("^") and re.search(r"(?<!\\)(?:\\\\)*\$$", text)):
        yield f"`{key}` has to match the whole value: say so, with ^ and $"
    if len(text) > _LONG:
        yield f"`{key}` has {len(text)} characters: nobody reads it who is to accept it"
    if field.hint is None:
        yield f"`{key}` has no hint: to a wrong value a login could not say what a right one looks like"


def _shared(definition: Definition, given: Provider, others: Iterable[Provider]) -> Iterator[Misfit]:
    """Yield what another provider has, too."""
    for other in others:
        for variable in sorted(given.env.keys() & other.env.keys()):
            message = f"{variable} is a variable of {other.name}, too: one run cannot use both"
            yield Misfit(_place(definition, variable), message)
        for host in sorted(_claimed(given, other)):
            yield Misfit(("host_url",), f"{host} is a host of {other.name}, too: one run cannot use both")


def _claimed(given: Provider, other: Provider) -> Iterator[str]:
    """Yield the hosts of the one that the other has as well; what settings make them is not known here."""
    for host in (each for each in given.hosts if not each.is_open):
        if any(host.includes(each) or each.includes(host) for each in other.hosts):
            yield str(host)


def _place(definition: Definition, variable: str) -> Where:
    """Return where a variable is named."""
    places: list[tuple[Where, str | tuple[str, ...]]] = [
        *((("fields", name, "env"), each.env) for name, each in definition.fields.items()),
        *(
            (("export", "env", name), each)
            for name, each in (definition.export.env if definition.export else {}).items()
        ),
    ]
    return next(
        (where for where, named in places if variable in ((named,) if isinstance(named, str) else named)),
        ("api_key", "env_var"),
    )


def _hosts(given: Provider) -> Iterator[Misfit]:
    pages = {urlsplit(link).hostname for link in (given.docs, given.keys_url) if link}
    get_keys = {host for place in given.placements if place.sigv4 is None for host in place.hosts}
    for host in sorted(given.hosts):
        if host.is_wild and host in get_keys:  # a signature is good for one host, and is no key
            message = f"whoever is given a name under {host.name[2:]} can be sent the key: name the hosts, if you can"
            yield Misfit(("host_url",), message)
        elif host.is_loopback or "." not in host.name:
            continue
        seems = host.name in pages or host.name.count(".") == 1 or host.name.startswith(_PAGES)
        everywhere = any(host in each.hosts and not (each.paths or each.path) for each in given.placements)
        if seems and everywhere:
            message = f"{host} seems to show web pages, too: `inject` can limit the key to the `paths` of the API"
            yield Misfit(("host_url",), message)


def _test(given: Provider) -> Iterator[Misfit]:
    if given.test is not None:
        path, host = given.test.target.partition("?")[0], given.test.host
        if not any(host in each.hosts and each.serves(path) for each in given.placements):
            yield Misfit(("test", "url"), f"no way of `inject` goes to {path} on {host}: it is asked without the key")
