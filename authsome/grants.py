"""What a definition permits, in words that a person can agree to.

Promises that the sentences are complete and canonical: two definitions that behave differently never give the same
set of them, and the order of hosts, paths or variables, the spelling of the file, its `docs` and its `category` change
none. So they can be shown, compared one by one, and their digest kept. Refuses to read a definition that is wrong, and
to let one lay out the screen: whatever is its author's own text stands in JSON quotes, in ASCII, where what looks alike
differs.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any

from authsome.provider import (
    AppInstallationDefinition,
    ClientCredentialsDefinition,
    Definition,
    Field,
    Host,
    JwtBearerDefinition,
    OAuth,
    Placement,
    Provider,
    RevocationDefinition,
    TestRequest,
    Value,
    oauth_hosts,
    resolve,
)

_FORMS = (RevocationDefinition, ClientCredentialsDefinition, JwtBearerDefinition, AppInstallationDefinition)
_MORE_SPACES = re.compile("(?<= ) ")


def of(given: Definition | Provider) -> tuple[str, ...]:
    """Return one sentence for each thing that is permitted, the widest first; the same ones for both kinds.

    Raises `ValueError` with what is wrong with a definition that cannot be used.
    """
    provider = resolve(given) if isinstance(given, Definition) else given
    return (
        f"the provider {_quoted(provider.name)} calls itself {_quoted(provider.display_name)}",
        *map(_host, sorted(provider.hosts, key=str)),
        *(["its hosts may be in a private network"] if provider.private_addresses else []),
        *_placements(provider.placements, frozenset(provider.hosts)),
        *_constants(provider.constant_headers),
        *_fields(provider.fields if provider.auth_type == "api_key" else provider.fields[1:]),
        *_test(provider.test),
        *_login(provider),
    )


def _host(host: Host) -> str:
    where = f"every host below {str(host).removeprefix('*.')}" if host.is_wild else str(host)
    slots = " and ".join(f"`{slot}`" for slot in dict.fromkeys(host.slots))
    return f"the key may be sent to {where}" + (f", with what a login is given as {slots}" if slots else "")


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
    left = f"; a client's own {_listed(place.yields)} stays as it is" if place.yields else ""
    return f"{where}{paths}{kind}, {' and '.join(what)}{out}{left}"


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
    number = 0
    for field in fields:
        number += field.asked
        yield _source(field, number)
        for variable in sorted(field.env):
            yield f"the variable {variable} {'stands for' if field.secret else 'holds'} {field.name}"
        if field.pattern is not None:
            yield f"{field.name} has to match {_quoted(field.pattern.pattern)}"
        if field.optional:
            yield f"{field.name} may be left out"
        said = {
            f"where nobody says otherwise, {field.name} is {{}}": field.default,
            f"beside the question for {field.name} stands the example {{}}": field.example,
            f"what stands in for {field.name} has the form {{}}": field.shape,
            f"to a wrong {field.name} a login says {{}}": field.hint,
        }
        yield from (sentence.format(_quoted(text)) for sentence, text in said.items() if text is not None)


def _source(field: Field, number: int) -> str:
    """Return how a field comes to be; `number` is its place among those that are asked for."""
    called = f"{field.name}, called {_quoted(field.label)}"
    if field.value is not None:
        return f"{called}, is shown, and made as {_quoted(field.value)}"
    if field.derive:
        sources = {"field": "", "response": "the token response's ", "redirect": "the redirect's "}
        source = f"{sources[field.derive.of]}{field.derive.source}"
        return f"{called}, is shown, and is what {_quoted(field.derive.pattern.pattern)} finds in {source}"
    what = f"{called}, {'hidden' if field.secret else 'shown'} while it is typed"
    return f"a login asks for {what}" if number == 1 else f"a login asks, as number {number}, for {what}"


def _test(test: TestRequest | None) -> Iterator[str]:
    if test is not None:
        good, bad = (" or ".join(map(str, sorted(each))) for each in (test.good, test.bad))
        statuses = f"{good} says that it is good, {bad} that it is bad"
        yield f"a new key is tried with {test.method} {_quoted(test.url)}: {statuses}"
        if test.ok is not None:
            yield f"a key is good only if the answer has true at {_quoted(test.ok)}"
        if test.identities:
            # The first that leads to something counts, so their order is kept.
            yield f"whose key it is stands in the answer at {', else at '.join(map(_quoted, test.identities))}"


def _login(provider: Provider) -> Iterator[str]:
    """Yield how a credential comes to be: a link is where a person takes it from, OAuth where it goes by itself."""
    if provider.keys_url is not None:
        yield f"to get a key, a person is sent to {_quoted(provider.keys_url)}"
    if provider.auth_type == "api_key":
        yield "the credential is an API key, which a person gives"
    else:
        yield f"the credential is a token, which comes by the flow {_quoted(provider.flow)}"
    if provider.oauth is not None:
        yield from _oauth(provider, provider.oauth)


def _oauth(provider: Provider, tokens: OAuth) -> Iterator[str]:
    """Yield where tokens come from: what holds the client's secret, then all else that is not as it usually is."""
    asks = tokens.asks
    for host in sorted(oauth_hosts(asks)):
        yield f"OAuth may send the application's secret, codes and tokens to {host}"
    yield f"OAuth gets a token by {' or '.join(asks.flows)}"
    yield f"the application shows who it is by {', else '.join(asks.auth_methods)}"
    for each in fields(asks):
        value = getattr(asks, each.name)
        if isinstance(value, _FORMS):
            value = {name: part for name, part in asdict(value).items() if part not in (None, {})}
        if each.name not in _SAID and value not in (each.default, {}):
            yield f"OAuth uses {_quoted(each.name)}: {_quoted(value)}"
    for what, variable in (("id", tokens.client.client_id_env), ("secret", tokens.client.client_secret_env)):
        if variable is not None:
            yield f"the application's {what} is read from the variable {variable}"
    yield f"with OAuth, a connection holds {', '.join(each.name for each in tokens.fields)}"
    yield from (f"with OAuth, the variable {name} stands for access_token" for name in sorted(tokens.fields[0].env))
    if provider.auth_type == "api_key":
        yield from (f"with OAuth, {text}" for text in _placements(tokens.placements, frozenset(provider.hosts)))


_SAID = frozenset({"inject", "supports_device_flow", "supports_dcr", "token_endpoint_auth_method"})
"""What the flows, the ways to show who one is, and the places of the token say."""
