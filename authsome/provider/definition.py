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
    """The short form for a provider with one key in one header.

    Attributes:
        header_name: The request header that carries the key.
        header_prefix: What stands before the key in it; empty for the key alone.
        env_var: The environment variable from which the provider's clients read the key.
        key_pattern: A regular expression that finds every genuine key; what it does not find is refused at login.
        key_pattern_hint: What a key looks like, in words; said when one is refused.
    """

    header_name: str = "Authorization"
    header_prefix: str = "Bearer"
    env_var: str | None = None
    key_pattern: str | None = None
    key_pattern_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Export(Closed):
    """Which environment variables carry which field; several names of one field in a list.

    Attributes:
        env: The field (`api_key`, `access_token`, `refresh_token`) and the variables that clients read it from.
    """

    env: dict[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BasicDefinition(Closed):
    """Templates for the user name and password of RFC 7617.

    Attributes:
        username: The user name; `{api_key}` stands for the key.
        password: The password; `{api_key}` stands for the key.
    """

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
        optional: True for a secret that an account may do without; its variable is then not set.
    """

    label: str = ""
    secret: bool = True
    pattern: str | None = None
    hint: str | None = None
    env: str | tuple[str, ...] = ()
    default: str | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if self.optional and not self.secret:
            raise ValueError("a setting that may be left out has a `default`, and is not `optional`")
        if self.secret and self.default is not None:
            raise ValueError("a secret has no `default`")
        if self.default is not None and not self.default.isprintable():
            raise ValueError("`default` holds a control character")


@dataclass(frozen=True, slots=True)
class AlsoDefinition(Closed):
    """Further places in which clients may send their credential; they are taken out of a request.

    Attributes:
        headers: The request headers.
        query: The parameters of the query.
    """

    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SigV4Definition(Closed):
    """The fields that AWS's Signature Version 4 is made with, each a secret, as in `{secret_access_key}`.

    Attributes:
        access_key: The access key's id.
        secret_key: The secret access key.
        session_token: The token of temporary keys.
    """

    access_key: str
    secret_key: str
    session_token: str | None = None


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
        sigv4: Fields to sign the request with, instead of the signature that the client has made.
        when: What the whole key has to look like for this way.
        hosts: The hosts it goes to, out of those in `host_url`; left out, all of them.
        paths: Patterns of the paths it goes to; `*` stands within one segment, `**` for any number.
    """

    header: str = "Authorization"
    value: str | None = None
    basic: BasicDefinition | None = None
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    path: str | None = None
    also: AlsoDefinition = field(default_factory=AlsoDefinition)
    sigv4: SigV4Definition | None = None
    when: str | None = None
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.value is not None and self.basic is not None:
            raise ValueError("give either `value` or `basic`")
        placed = self.value is not None or self.basic or self.headers or self.query or self.path
        if self.sigv4 and (placed or self.also.headers or self.also.query):
            raise ValueError("`sigv4` signs the request, and nothing else goes into it")
        if not (placed or self.sigv4):
            raise ValueError("give `value`, `basic`, `headers`, `query`, `path` or `sigv4`")
        if self.path is not None and self.paths:
            raise ValueError("give either `path` or `paths`")


@dataclass(frozen=True, slots=True)
class TestRequest(Closed):
    """A cheap authenticated request and the status that tells a good key from a bad one.

    Attributes:
        url: What is asked for, on a host of `host_url`, over https; may hold fields, as in
            `https://api.acme.example/accounts/{account}`.
        method: How it is asked for.
        good_status: The answer to a good key; several in a list.
        bad_status: The answer to a bad one; several in a list.
    """

    url: str
    method: Literal["GET", "HEAD", "POST"] = "GET"
    good_status: int | tuple[int, ...] = 200
    bad_status: int | tuple[int, ...] = 401

    def __post_init__(self) -> None:
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
    """How one service authenticates, and to which hosts its credential may go.

    Closed: what it does not know is an error.

    Attributes:
        name: What the provider is called in commands and in `authsome.yaml`; the file is named `<name>.json`.
        host_url: The hosts its credential may go to, each exactly, as in `api.example.com`; one, or a list.
        schema_version: The form of this file; there is one so far.
        display_name: What the provider is called where a person reads it.
        auth_type: Whether a person gives a key, or a token comes from OAuth.
        flow: How a credential is come by.
        oauth: Where tokens come from and what they are asked for.
        api_key: The key of a provider whose `auth_type` is `api_key`: its header, variable and form.
        fields: The values of one connection by their names, where there are several; `inject` says where they go.
        inject: Where the secret goes, where `api_key` cannot say it; each entry is one way.
        headers: Headers that requests with the credential carry, unless the client has set them.
        export: The environment variables that clients read the credential from.
        docs: The page that explains how the provider authenticates.
        keys_url: The page where a person gets a key.
        test: A cheap request that tells a good key from a bad one; asked before a key is stored.
        category: Under which it is listed.
        private_addresses: Whether the hosts may be in a private network; without it, a credential leaves for public
            addresses only.
        packages: What a project that uses the provider has installed, as `pypi:NAME` or `npm:NAME`, and as
            `python:MODULE` where the module is not named like its package. Only `init` and `check --drift` read it.
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
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.auth_type == "api_key" and self.api_key is None and not self.fields:
            raise ValueError("`api_key` is missing, or `fields` and `inject`")
        if self.api_key is not None and self.fields:
            raise ValueError("give either `api_key` or `fields`")
        if self.fields and not self.inject:
            raise ValueError("`inject` is missing: it says where the `fields` go")
        if self.fields and self.auth_type == "oauth2":
            raise ValueError("the fields of an OAuth provider are its tokens, leave out `fields`")
