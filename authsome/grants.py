"""What a definition permits, in words that a person can agree to.

Promises that the sentences are complete and canonical: two definitions that behave differently never give the same
set of them, and the order of hosts, paths or variables, the spelling of the file, its `docs` and its `category` change
none. So they can be shown, compared one by one, and their digest kept. Refuses to read a definition that is wrong, and
to let one lay out the screen: whatever is its author's own text stands in JSON quotes, in ASCII, where what looks alike
differs.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from authsome.provider import Definition, Field, Host, Placement, Provider, TestRequest, Value, resolve

_MORE_SPACES = re.compile("(?<= ) ")


def of(given: Definition | Provider) -> tuple[str, ...]:
    """Return one sentence for each thing that is permitted, the widest first; the same ones for both kinds.

    Raises `ValueError` with what is wrong with a definition that cannot be used.
    """
    provider = resolve(given) if isinstance(given, Definition) else given
    return (
        f"the provider {_quoted(provider.name)} calls itself {_quoted(provider.display_name)}",
        *(f"the key may be sent to {host}" for host in provider.host_names),
        *(["its hosts may be in a private network"] if provider.private_addresses else []),
        *_placements(provider.placements, frozenset(provider.hosts)),
        *_constants(provider.constant_headers),
        *_fields(provider.fields),
        *_test(provider.test),
        *_login(provider),
    )


def _quoted(text: Any) -> str:
    """Return JSON. NOTE: spaces in a row are escaped; so many of them would begin a line of their own on the screen."""
    return _MORE_SPACES.sub(r"\\u0020", json.dumps(text, sort_keys=True))


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))


def _placements(placements: Iterable[Placement], hosts: frozenset[Host]) -> Iterator[str]:
    """Yield where the key stands in a request.

    The first place that fits a request gets it, so the order counts where two share a host, and only there.
    """
    before: list[tuple[frozenset[Host], int]] = []
    found = []
    for place in placements:
        choice = 1 + max((turn for others, turn in before if others & place.hosts), default=0)
        before.append((place.hosts, choice))
        found.append((choice, _placement(place, hosts)))
    for choice, text in sorted(found):
        yield text if choice == 1 else f"choice {choice}, where none before it fits: {text}"


def _placement(place: Placement, hosts: frozenset[Host]) -> str:
    where = "on every host" if place.hosts == hosts else f"on {_listed(map(str, place.hosts))}"
    paths = f", for the paths {_listed(map(_quoted, place.paths))}" if place.paths else ""
    kind = f", if {place.when[0]} matches {_quoted(place.when[1].pattern)}" if place.when else ""
    what = sorted(f"the header {name} becomes {_value(value)}" for name, value in place.headers)
    what += sorted(f"the query parameter {name} becomes {_quoted(value)}" for name, value in place.query)
    what += [f"the path {_quoted(place.path)} is filled in"] if place.path else []
    if place.sigv4:
        token = f" and {place.sigv4.session_token}, where there is one," if place.sigv4.session_token else ""
        what += [f"requests are signed as AWS has it with {place.sigv4.access_key}, {place.sigv4.secret_key}{token}"]
    if place.sigv4:  # its own headers and parameters are those of every signature
        return f"{where}{paths}{kind}, {' and '.join(what)}"
    gone = [f"the header {name}" for name in sorted(place.also_headers - {name.lower() for name, _ in place.headers})]
    gone += [f"the query parameter {name}" for name in sorted(place.also_query - {name for name, _ in place.query})]
    out = f", and {' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} taken out" if gone else ""
    return f"{where}{paths}{kind}, {' and '.join(what)}{out}"


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return "Basic with user {} and password {}".format(*map(_quoted, value))


def _constants(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield what goes along; of two with one name, the order is kept in the sentence."""
    named: dict[str, list[str]] = {}
    for name, value in headers:
        named.setdefault(name.lower(), []).append(f"{name} {_quoted(value)}")
    for _, values in sorted(named.items()):
        yield f"requests with the key also carry the header {', then '.join(values)}"


def _fields(fields: Iterable[Field]) -> Iterator[str]:
    """Yield what is asked for and where programs find its placeholder; the first field is what a pipe gives."""
    for number, field in enumerate(fields, 1):
        what = f"{field.name}, called {_quoted(field.label)}, {'hidden' if field.secret else 'shown'} while it is typed"
        yield f"a login asks for {what}" if number == 1 else f"a login asks, as number {number}, for {what}"
        for variable in sorted(field.env):
            yield f"the variable {variable} {'stands for' if field.secret else 'holds'} {field.name}"
        if field.pattern is not None:
            yield f"{field.name} has to match {_quoted(field.pattern.pattern)}"
        if field.optional:
            yield f"{field.name} may be left out"
        if field.default is not None:
            yield f"where nobody says otherwise, {field.name} is {_quoted(field.default)}"
        if field.hint is not None:
            yield f"to a wrong {field.name} a login says {_quoted(field.hint)}"


def _test(test: TestRequest | None) -> Iterator[str]:
    if test is not None:
        good, bad = (" or ".join(map(str, sorted(each))) for each in (test.good, test.bad))
        statuses = f"{good} says that it is good, {bad} that it is bad"
        yield f"a new key is tried with {test.method} {_quoted(test.url)}: {statuses}"


def _login(provider: Provider) -> Iterator[str]:
    """Yield how a credential comes to be: a link is where a person takes it from, OAuth where it goes by itself."""
    if provider.keys_url is not None:
        yield f"to get a key, a person is sent to {_quoted(provider.keys_url)}"
    if (provider.auth_type, provider.flow) == ("api_key", "api_key"):
        yield "the credential is an API key, which a person gives"
    else:
        yield f"the credential is of the type {provider.auth_type} and comes by the flow {_quoted(provider.flow)}"
    settings: Mapping[str, Any] = provider.oauth or {}
    for name, value in sorted(settings.items()):
        yield f"OAuth uses {_quoted(name)}: {_quoted(value)}"
