"""A definition from a few answers.

Promises text that loads, in the form of the bundled ones, and to refuse each answer by itself, for the reason for which
the whole would not load. Refuses to repeat what could be a secret that was pasted along: of an address, all but its
host; of a header, what stands behind the colon.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authsome import documents, grants, provider
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Host, Provider, check_name

_KEY = "{api_key}"
_SECRETIVE = re.compile(r"[?&;][^=&;]*(?:key|token|secret|password|auth|sig)[^=&;]*=[^{]", re.IGNORECASE)
_LINK = re.compile(r"https://[!-~]+")


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a definition with one key is made of.

    Attributes:
        host: A name, and a port if it is not 443.
        header: What carries the key, with `prefix` before it; unless `basic` or `query` says otherwise.
        basic: User name and password with a colon between them, `{api_key}` in one of them.
        query: A parameter.
        env: The variable that programs read.
        test_url: What answers 200 to a good key and 401 to a bad one.
    """

    name: str = "acme"
    host: str = "api.acme.example"
    header: str | None = None
    prefix: str | None = None
    basic: str | None = None
    query: str | None = None
    env: str | None = None
    pattern: str | None = None
    hint: str | None = None
    keys_url: str | None = None
    test_url: str | None = None
    display_name: str | None = None

    @property
    def text(self) -> str:
        """The file."""
        return json.dumps(self._data(), indent=2, ensure_ascii=False) + "\n"

    def provider(self) -> Provider:
        """Return what the file describes, or raise `ValueError` with what is wrong with it."""
        document = documents.parse_json(Path("it"), self.text)
        if misfits := documents.misfits(provider.Definition, document):
            raise ValueError(misfits[0].message)
        found = provider.resolve(documents.shape(provider.Definition, document))
        grants.of(found)
        return found

    def _data(self) -> dict[str, Any]:
        key: dict[str, Any] = {}
        if self.basic is None and self.query is None:
            header = self.header or "Authorization"
            prefix = self.prefix if self.prefix is not None else "Bearer" if self.header is None else ""
            key = {"header_name": header, "header_prefix": prefix}
        key |= {"env_var": self.env, "key_pattern": self.pattern, "key_pattern_hint": self.hint}
        made: dict[str, Any] = {
            "schema_version": 1,
            "name": self.name,
            "display_name": self.display_name or self.name.replace("-", " ").replace("_", " ").title(),
            "auth_type": "api_key",
            "flow": "api_key",
            "host_url": self.host,
            "api_key": {name: value for name, value in key.items() if value is not None},
        }
        if self.basic is not None:
            user, _, password = self.basic.partition(":")
            made["inject"] = [{"basic": {"username": user, "password": password}}]
        elif self.query is not None:
            made["inject"] = [{"query": {self.query: _KEY}}]
        if self.keys_url is not None:
            made["keys_url"] = self.keys_url
        if self.test_url is not None:
            made["test"] = {"method": "GET", "url": self.test_url, "good_status": 200, "bad_status": 401}
        return made


def variable(name: str) -> str:
    """Return the variable that programs most likely read the key of a provider from."""
    made = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"{'_' if made[:1].isdigit() else ''}{made}_API_KEY"


# One answer each: it is returned as it goes into the file, or `ValueError` says what is wrong with it.


def name(given: str) -> str:
    """Return the name of a provider."""
    try:
        return check_name(given, "provider")
    except AuthsomeError as error:
        raise ValueError(f"{error.message}: {error.hint}") from error


def host(given: str) -> str:
    """Return the host of an address; the rest of it is left out.

    NOTE: a pasted address may hold a key, before the host or behind it; no message repeats either.
    """
    scheme, _, rest = given.partition("://") if "://" in given else ("https", "", given)
    authority = re.split(r"[/?#\\]", rest)[0]
    if scheme.lower() != "https":
        raise ValueError("a credential leaves over https only")
    if "@" in authority:
        raise ValueError("a user name or password stands before the host; leave it out")
    try:
        found = Host.parse(authority)
        Sketch(host=authority).provider()
    except ValueError as error:
        raise ValueError(str(error).replace(f"`{authority}`", "that")) from None
    if "." not in found.name and not found.is_loopback:
        raise ValueError("that is no full host name, as `api.acme.example` is one")
    return str(found)


def header(given: str) -> str:
    """Return the name of a header; what stands behind its colon is left out."""
    return _checked("header", given.partition(":")[0].strip())


def prefix(given: str) -> str:
    """Return what stands before the key in a header."""
    return _checked("prefix", given)


def basic(given: str) -> str:
    """Return the templates of user name and password."""
    if ":" not in given or _KEY not in given:
        raise ValueError(f"write the user name, a colon and the password, with {_KEY} for the key")
    return _checked("basic", given)


def query(given: str) -> str:
    """Return the name of a parameter."""
    return _checked("query", given.lstrip("?&").partition("=")[0])


def env(given: str) -> str:
    """Return a variable."""
    return _checked("env", given)


def pattern(given: str) -> str:
    """Return a pattern for the whole key."""
    return _checked("pattern", given)


def link(given: str) -> str:
    """Return the address of a page."""
    if not _LINK.fullmatch(given):
        raise ValueError("that is no address of a page: it begins with https://")
    return given


def test_url(given: str, asked: str) -> str:
    """Return the address of a test request, which is on the host `asked`.

    NOTE: it is kept in the file, so a key must not come along.
    """
    if "@" in re.split(r"[/?#]", given.removeprefix("https://"))[0] or _SECRETIVE.search(given):
        raise ValueError("leave the key out of it: it is put in where the definition says")
    try:
        Sketch(host=asked, test_url=given).provider()
    except ValueError as error:
        raise ValueError(str(error).replace(f"`{given}`", "that")) from None
    return given


def _checked(field: str, value: str) -> str:
    Sketch(**{field: value}).provider()
    return value


def missing(what: str, option: str) -> AuthsomeError:
    """Return the error that nobody can be asked for something."""
    return AuthsomeError(
        f"{what} is not given, and there is nobody to ask", hint=f"say it: {option}", code=ExitCode.MISSING
    )
