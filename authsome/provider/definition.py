"""A definition file as it is written, closed: what it does not know is an error.

The names are those of the documented schema, which loads unchanged.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from authsome.documents import Closed
from authsome.provider.names import Host

Category = Literal["ai", "dev", "business"]
CATEGORIES: tuple[str, ...] = get_args(Category)
"""What a catalogue is looked through by: models and search, what developers build with, everything else."""


@dataclass(frozen=True, slots=True)
class ApiKey(Closed):
    """The short form for a provider with one key in one header."""

    header_name: str = "Authorization"
    header_prefix: str = "Bearer"
    env_var: str | None = None
    key_pattern: str | None = None
    key_pattern_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Export(Closed):
    """Which environment variables carry which field; several names of one field in a list."""

    env: dict[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BasicDefinition(Closed):
    """Templates for the user name and password of RFC 7617."""

    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class FieldDefinition(Closed):
    """One value of a connection.

    Attributes:
        label: What it is called where somebody is asked for it.
        secret: False for a setting, such as an account's number: it is shown, and real in the agent's environment.
        pattern: What the whole value has to look like.
        hint: What to say where it does not.
        env: The variables in which clients look for it.
        default: What holds where nobody says otherwise; settings only.
    """

    label: str = ""
    secret: bool = True
    pattern: str | None = None
    hint: str | None = None
    env: str | tuple[str, ...] = ()
    default: str | None = None

    def __post_init__(self) -> None:
        if self.secret and self.default is not None:
            raise ValueError("a secret has no `default`")


@dataclass(frozen=True, slots=True)
class AlsoDefinition(Closed):
    """Further places in which clients may send their credential; they are taken out of a request."""

    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InjectDefinition(Closed):
    """One way in which the secrets go into a request, on these hosts and paths (all of them if left out).

    Attributes:
        header: The header of `value` or `basic`.
        value: Its template, as in `Bearer {api_key}`.
        basic: Templates of user name and password.
        headers: Further headers and their templates.
        query: Parameters of the query and their templates.
        path: A path with the secret in it, as in `/bot{api_key}/**`.
        also: Other places in which clients may send it.
        when: What the whole key has to look like for this way.
    """

    header: str = "Authorization"
    value: str | None = None
    basic: BasicDefinition | None = None
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    path: str | None = None
    also: AlsoDefinition = field(default_factory=AlsoDefinition)
    when: str | None = None
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.value is not None and self.basic is not None:
            raise ValueError("give either `value` or `basic`")
        if not (self.value is not None or self.basic or self.headers or self.query or self.path):
            raise ValueError("give `value`, `basic`, `headers`, `query` or `path`")
        if self.path is not None and self.paths:
            raise ValueError("give either `path` or `paths`")


@dataclass(frozen=True, slots=True)
class TestRequest(Closed):
    """A cheap authenticated request and the status that tells a good key from a bad one.

    Attributes:
        url: May hold fields, as in `https://api.acme.example/accounts/{account}`.
        good_status: Several in a list.
        bad_status: Several in a list.
    """

    url: str
    method: Literal["GET", "HEAD", "POST"] = "GET"
    good_status: int | tuple[int, ...] = 200
    bad_status: int | tuple[int, ...] = 401

    def __post_init__(self) -> None:
        if not self.good or not self.bad or self.good & self.bad:
            raise ValueError("`good_status` and `bad_status` are not empty and have none in common")
        target = self.target
        if not self.url.startswith("https://") or not target or "#" in target:
            raise ValueError(f"`{self.url}` is not the address of a request: https, a host and a path")
        Host.parse(self.authority)

    @property
    def good(self) -> frozenset[int]:
        """Every status that says that a key is good."""
        return _statuses(self.good_status)

    @property
    def bad(self) -> frozenset[int]:
        """Every status that says that a key is bad."""
        return _statuses(self.bad_status)

    @property
    def authority(self) -> str:
        """The host, and the port if it is not 443."""
        return self.url.removeprefix("https://").partition("/")[0]

    @property
    def target(self) -> str:
        """The path and the query, from the slash on."""
        _, slash, rest = self.url.removeprefix("https://").partition("/")
        return slash + rest

    @property
    def host(self) -> "Host":
        """Where it goes."""
        return Host.parse(self.authority)


def _statuses(given: int | tuple[int, ...]) -> frozenset[int]:
    return frozenset((given,) if isinstance(given, int) else given)


@dataclass(frozen=True, slots=True)
class Definition(Closed):
    """A definition file, closed: what it does not know is an error.

    Attributes:
        category: Under which it is listed.
        private_addresses: Whether the hosts may be in a private network; without it, a credential leaves for public
            addresses only.
    """

    name: str
    host_url: str | tuple[str, ...]
    schema_version: Literal[1] = 1
    display_name: str = ""
    category: Category | None = None
    auth_type: Literal["api_key", "oauth2"] = "api_key"
    flow: str = "api_key"
    oauth: dict[str, Any] | None = None
    api_key: ApiKey | None = None
    fields: dict[str, FieldDefinition] = field(default_factory=dict)
    inject: tuple[InjectDefinition, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    export: Export | None = None
    docs: str | None = None
    keys_url: str | None = None
    test: TestRequest | None = None
    private_addresses: bool = False

    def __post_init__(self) -> None:
        if self.auth_type == "api_key" and self.api_key is None and not self.fields:
            raise ValueError("`api_key` is missing, or `fields` and `inject`")
        if self.api_key is not None and self.fields:
            raise ValueError("give either `api_key` or `fields`")
        if self.fields and not self.inject:
            raise ValueError("`inject` is missing: it says where the `fields` go")
        if self.fields and self.auth_type == "oauth2":
            raise ValueError("the fields of an OAuth provider are its tokens, leave out `fields`")
