"""Where the secrets of a connection go in a request: headers, query parameters, a segment of the path, or several.

Promises that what is put in stands in its place alone: a parameter cannot end in another one, a segment in another
path. Refuses nothing; what may be a placement is decided where a definition is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from authsome.provider.names import PLACEHOLDER, SLOT, Host

SIGNATURE_HEADERS = frozenset({"authorization", "x-amz-security-token"})
"""Where a signature of AWS stands, with the keys' own token."""
SIGNATURE_QUERY = frozenset(
    {
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"),
        *("X-Amz-Security-Token", "X-Amz-Signature", "AWSAccessKeyId"),
    }
)
"""The parameters of a signature that stands in the query; the last is of the version before, for S3."""
_IN_SEGMENT = "!$&'()*+,:;=@~"  # RFC 3986, 3.3: what a segment holds as it is, beside letters and `-._`

type Value = str | tuple[str, str]
"""A template of a header's value; two of them are user name and password of RFC 7617."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The fields that requests are signed with, as AWS's Signature Version 4 has it.

    Attributes:
        session_token: A field that a connection may go without; None if there is none.
    """

    access_key: str
    secret_key: str
    session_token: str | None = None


class Spot(NamedTuple):
    """What a request says in a place that belongs to the credential, and where that is."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Placement:
    """One way in which a provider takes a credential; all of it goes into the request, whatever the client had there.

    Attributes:
        headers: Name and template.
        query: Name and template of parameters.
        path: A pattern with the fields' slots in it, as in `/bot{bot_token}/**`; None if the path holds no secret.
        hosts: The hosts it goes to, never empty.
        paths: Patterns of the paths it goes to (see `matches`); empty means all.
        also_headers: Further headers, in lower case, in which clients may send their credential; they are taken out.
        also_query: Further parameters of that kind.
        yields: The headers, in lower case, that are left to a client which fills them with something of its own.
        when: A field, and what the whole of it has to look like for this way; None for any.
        sigv4: What a signature is made with, which takes the place of the client's; None if nothing is signed.
    """

    headers: tuple[tuple[str, Value], ...]
    hosts: frozenset[Host]
    paths: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    path: str | None = None
    also_headers: frozenset[str] = frozenset()
    also_query: frozenset[str] = frozenset()
    when: tuple[str, re.Pattern[str]] | None = None
    yields: frozenset[str] = frozenset()
    sigv4: Signing | None = None

    @property
    def header_names(self) -> frozenset[str]:
        """The headers, in lower case, that belong to the credential."""
        return self.also_headers | {name.lower() for name, _ in self.headers}

    @property
    def parameters(self) -> frozenset[str]:
        """The query parameters that belong to the credential."""
        return self.also_query | {name for name, _ in self.query}

    @property
    def place(self) -> str:
        """Where a person would look for it, as the end of a sentence."""
        if self.sigv4:
            return "a signature of AWS (Signature Version 4)"
        places = [f"the header `{name}`" for name, _ in self.headers]
        places += [f"the query parameter `{name}`" for name, _ in self.query]
        return " and ".join([*places, f"the path `{self.path}`"] if self.path else places)

    def filled(self, settings: Mapping[str, str]) -> "Placement":
        """Return it with settings in the slots of its hosts."""
        return replace(self, hosts=frozenset(host.filled(settings) for host in self.hosts))

    def serves(self, path: str) -> bool:
        """Whether it is for requests of this path, which has no query."""
        if self.path:
            return _slotted(self.path)[0].fullmatch(path) is not None
        return not self.paths or any(matches(pattern, path) for pattern in self.paths)

    def suits(self, secrets: Mapping[str, str]) -> bool:
        """Whether it is for keys of this kind."""
        return self.when is None or self.when[1].fullmatch(secrets[self.when[0]]) is not None

    def fields(self, secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the headers with the secrets in their slots."""
        return tuple((name, _rendered(value, secrets)) for name, value in self.headers)

    def target(self, target: str, secrets: Mapping[str, str]) -> str:
        """Return path and query with the secrets in their places, whatever stood there."""
        path, mark, query = target.partition("?")
        if self.path:
            path = _filled(self.path, path, lambda name, _: quote(secrets[name], safe=_IN_SEGMENT))
        if not (self.query or self.also_query):
            return path + mark + query
        given = {name: f"{quote(name, safe='')}={quote(_fill(value, secrets), safe='')}" for name, value in self.query}
        kept = self._kept(query)
        query = "&".join([*([kept] if kept else []), *given.values()])
        return f"{path}?{query}" if query else path

    def spots(self, target: str) -> Iterator[Spot]:
        """Yield what path and query say where the credential belongs, decoded."""
        path, _, query = target.partition("?")
        if self.path and (found := _slotted(self.path)[0].fullmatch(path)):
            yield from (Spot("the path", unquote(said)) for said in found.groups())
        for part in re.split("[&;]", query):
            if self._owns(part):
                yield Spot(f"the query parameter `{_name(part)}`", unquote_plus(part.partition("=")[2]))

    def shown(self, path: str) -> str:
        """Return a path with the placeholder in the credential's place, where a client may have put a key."""
        if not self.path:
            return path
        return _filled(self.path, path, lambda _, said: said if PLACEHOLDER in unquote(said) else PLACEHOLDER)

    def without(self, target: str) -> str:
        """Return path and query without what stands where the credential belongs."""
        path, mark, query = target.partition("?")
        if self.path:
            path = _filled(self.path, path, lambda *_: "")
        return path + mark + self._kept(query)

    def unasked(self, target: str) -> str:
        """Return path and query without the parameters in which a client may have put a credential."""
        path, _, query = target.partition("?")
        kept = self._kept(query)
        return target if kept == query else f"{path}?{kept}" if kept else path

    def _kept(self, query: str) -> str:
        """Return a query without the credential's parameters, also where only some servers would see one."""
        if not self.parameters:
            return query
        parts = ([piece for piece in part.split(";") if not self._owns(piece)] for part in query.split("&"))
        return "&".join(";".join(pieces) for pieces in parts if pieces)

    def _owns(self, part: str) -> bool:
        return _alike(_name(part)) in {_alike(name) for name in self.parameters}


def _rendered(value: Value, secrets: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return _fill(value, secrets)
    from base64 import b64encode  # noqa: PLC0415  only a proxy that serves such a provider needs it

    userinfo = ":".join(_fill(part, secrets) for part in value)
    return "Basic " + b64encode(userinfo.encode()).decode()


def _fill(template: str, secrets: Mapping[str, str]) -> str:
    return SLOT.sub(lambda slot: secrets[slot[1]], template)


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _alike(name: str) -> str:
    """Return what is the same for two names that some server takes for one.

    NOTE: ASP.NET knows no case; PHP drops spaces before a name, ends it at a NUL or `[`, and reads dots and spaces as
    `_`. A key of the agent's own in such a parameter would win over the one that is put in, or stand beside it.
    """
    return re.sub(r"[ .]", "_", re.split(r"[\0\[]", name.lstrip(" "))[0]).lower()


def matches(pattern: str, path: str) -> bool:
    """Return whether a path fits a pattern in which `*` stands for one segment or less and `**` for any number."""
    return _plain(pattern).fullmatch(path) is not None


@cache
def _plain(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(map(_expression, re.split(r"(\*\*|\*)", pattern))), re.DOTALL)


@cache
def _slotted(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return the expression of a pattern with slots, each a group, and their fields."""
    parts = re.split(rf"(\*\*|\*|{SLOT.pattern.replace('(', '(?:')})", pattern)
    slots = tuple(part[1:-1] for part in parts if SLOT.fullmatch(part))
    made = "".join("([^/]*)" if SLOT.fullmatch(part) else _expression(part) for part in parts)
    return re.compile(made, re.DOTALL), slots


def _expression(part: str) -> str:
    return {"**": ".*", "*": "[^/]*"}.get(part) or re.escape(part)


def _filled(pattern: str, path: str, text: Callable[[str, str], str]) -> str:
    """Return a path with each slot's part replaced by `text(field, what stands there)`; as it is if it does not fit."""
    expression, slots = _slotted(pattern)
    found = expression.fullmatch(path)
    if found is None:
        return path
    done, end = "", 0
    for number, name in enumerate(slots, 1):
        done += path[end : found.start(number)] + text(name, found[number])
        end = found.end(number)
    return done + path[end:]
