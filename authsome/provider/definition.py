"""A definition file as it is written, closed: what it does not know is an error.

The names are those of the documented schema, which loads unchanged.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from authsome.documents import Closed
from authsome.provider.names import Host

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")  # RFC 6901, 3, but for the empty one, which is the whole answer

Category = Literal["ai", "dev", "business"]
CATEGORIES: tuple[str, ...] = get_args(Category)
"""What a catalogue is looked through by: models and search, what developers build with, everything else."""

Flow = Literal["api_key", "pkce", "device_code", "dcr_pkce", "client_credentials", "jwt_bearer", "app_installation"]


@dataclass(frozen=True, slots=True)
class ApiKey(Closed):
    """The short form for a provider with one key in one header.

    Attributes:
        header_name: The request header that carries the key.
        header_prefix: What stands before the key in it; empty for the key alone.
        env_var: The environment variable from which the provider's clients read the key.
        key_pattern: A regular expression that finds every genuine key; what it does not find is refused at login.
        key_pattern_hint: What a key looks like, in words; said when one is refused.
        placeholder: The shape of what the agent holds instead of the key, where a client checks it: `e2b_{hex:40}`.
    """

    header_name: str = "Authorization"
    header_prefix: str = "Bearer"
    env_var: str | None = None
    key_pattern: str | None = None
    key_pattern_hint: str | None = None
    placeholder: str | None = None


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
class DeriveDefinition(Closed):
    """A setting that is part of something else, such as the data centre at the end of a key. Give one source.

    Attributes:
        field: The field it is read from.
        response: The member of the token response (RFC 6749, 5.1) it is read from, such as `instance_url`.
        redirect: The parameter it is read from with which the provider sends a person back (RFC 6749, 4.1.2), such as
            `realmId`.
        pattern: What finds it there; the one group of it is the setting.
    """

    field: str | None = None
    pattern: str = ""
    response: str | None = None
    redirect: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.field, self.response, self.redirect)) != 1:
            raise ValueError("give either `field`, `response` or `redirect`")
        if not self.pattern:
            raise ValueError("`pattern` is missing")
        for said in (self.response, self.redirect):
            if said is not None and said.rpartition(".")[2] in _SECRETS:  # also of an object in the response
                raise ValueError(f"`{said}` is a secret, and a setting is shown")


_SECRETS = frozenset({"access_token", "refresh_token", "id_token", "client_secret", "code", "state"})
"""What a response and a redirect say that nobody else may see."""


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
        example: A value as it may look; settings only. It is shown beside the question.
        value: What it is made of, as in `https://{cluster_host}:6333`; settings only. Nobody is asked for it.
        derive: Which part of another field it is; settings only. Nobody is asked for it.
        placeholder: The shape of what the agent holds instead, where a client checks it: `e2b_{hex:40}`; besides `hex`
            there are `base32`, `digit` and settings. Secrets only.
        optional: True for a secret that an account may do without; its variable is then not set.
    """

    label: str = ""
    secret: bool = True
    pattern: str | None = None
    hint: str | None = None
    env: str | tuple[str, ...] = ()
    default: str | None = None
    example: str | None = None
    value: str | None = None
    derive: DeriveDefinition | None = None
    placeholder: str | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if self.optional and not self.secret:
            raise ValueError("a setting that may be left out has a `default`, and is not `optional`")
        given = [name for name in _OF_SETTINGS if getattr(self, name) is not None]
        if self.secret and given:
            raise ValueError(f"a secret has no `{given[0]}`")
        if not self.secret and self.placeholder is not None:
            raise ValueError("a setting has no `placeholder`: the agent sees it as it is")
        if len(sources := [name for name in given if name != "example"]) > 1:
            raise ValueError(f"give one of `{'`, `'.join(sources)}`")
        for text in (self.default, self.example, self.value):
            if text is not None and not text.isprintable():
                raise ValueError(f"{ascii(text)} holds a control character")


_OF_SETTINGS = ("default", "example", "value", "derive")


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
        yields: The headers of these that are left to a client which fills them with something of its own, such as
            the token of its own user.
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
    yields: tuple[str, ...] = ()
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
class ClientDefinition(Closed):
    """Where the id and the secret of an application are found before a person is asked for them.

    Attributes:
        client_id_env: The environment variable that holds its id.
        client_secret_env: The environment variable that holds its secret.
    """

    client_id_env: str | None = None
    client_secret_env: str | None = None


@dataclass(frozen=True, slots=True)
class RevocationDefinition(Closed):
    """A request that ends a token, where it is not that of RFC 7009.

    Its templates name `{access_token}`, `{refresh_token}`, `{client_id}` and `{client_secret}`.

    Attributes:
        url: Where it goes, over https; the id of the application may be part of its path.
        method: How it is sent.
        authorization: The template of the header `Authorization`, as in `Bearer {access_token}`.
        basic: Templates of user name and password, instead of `authorization`.
        query: Parameters of the query and their templates.
        form: The body as a form: its fields and their templates.
        json: The body as a JSON object, instead of `form`: its members and their templates.
    """

    url: str
    method: Literal["POST", "DELETE"] = "POST"
    authorization: str | None = None
    basic: BasicDefinition | None = None
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    json: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientCredentialsDefinition(Closed):
    """How an application gets a token for itself, without a person (RFC 6749, 4.4).

    Attributes:
        grant_type: What the request calls it.
        parameters: Further parameters of the request; a name in braces, `{account_id}`, is asked for together with the
            id of the application, unless it is a setting.
    """

    grant_type: Literal["client_credentials", "account_credentials"] = "client_credentials"
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JwtBearerDefinition(Closed):
    """How a service account gets a token with its own key (RFC 7523, 2.1), which a login is given as a JSON file.

    Attributes:
        audience: Whom the signed text is for; left out, `token_url`, which is also what the file has to say.
        scopes_in: Where the scopes stand: in the `request` (RFC 7521, 4.1) or in the `assertion`.
        subject: Whether a login may name somebody for whom the account acts.
    """

    audience: str | None = None
    scopes_in: Literal["request", "assertion"] = "request"
    subject: bool = False


@dataclass(frozen=True, slots=True)
class AppInstallationDefinition(Closed):
    """How an application gets a token for a place in which it is installed, with its own key, as GitHub has it.

    Attributes:
        url: Where the token is asked for, over https, with `{installation_id}` in its path.
    """

    url: str


@dataclass(frozen=True, slots=True)
class OAuthDefinition(Closed):
    """Where tokens come from, and what they are asked for.

    Settings may be part of a URL and of a parameter, as in `https://{shop}.example.com/oauth/token`.

    Attributes:
        authorization_url: The page on which a person agrees.
        token_url: Where a code becomes a token.
        refresh_url: Where a new token is asked for, if not at `token_url`.
        revocation_url: Where a token is ended in the way of RFC 7009.
        revocation: The request that ends a token in another way.
        device_authorization_url: Where a login on another device begins (RFC 8628).
        device_token_request: Whether such a login asks for its token with a form (RFC 8628) or with a JSON object.
        registration_endpoint: Where an application registers itself (RFC 7591).
        issuer: What the authorization server calls itself, https: where the rest is found (RFC 8414), and what its
            answers are compared with (RFC 9207).
        resource: What the tokens are for, https, as a server of the Model Context Protocol calls itself: each request
            names it (RFC 8707), and without an `issuer` it says who that is (RFC 9728).
        base_url: What `{base_url}` stands for in the other URLs, unless a login says otherwise.
        scopes: What is asked for if nobody asks for anything else.
        scope_separator: What stands between them: a space (RFC 6749, 3.3) or a comma.
        pkce: Whether a code is bound to the login that asked for it (RFC 7636, S256); null: it is, although nothing
            says that the provider looks at it.
        supports_device_flow: False: there is no login on another device, whatever `device_authorization_url` says.
        supports_dcr: Whether an application registers itself; without a `registration_endpoint` it is looked for.
        token_endpoint_auth_method: How the application shows who it is, the best way first: `client_secret_basic`,
            `client_secret_post` (in the body), or `none`, which means that it needs no secret.
        token_request: Whether the body of a request for a token is a form (RFC 6749) or a JSON object.
        public_flows: The flows in which the application needs no secret although it needs one in others.
        authorization_parameters: What the address of the page carries besides.
        token_parameters: What a request for a token carries besides.
        client_credentials: How an application gets a token for itself; null if it cannot.
        jwt_bearer: How a service account gets a token with its own key; null if it cannot.
        app_installation: How an application gets a token for a place in which it is installed; null if it cannot.
        https_redirect: True: the provider sends people back to an https address only, so to none of this machine.
        inject: Where the access token goes if not into `Authorization: Bearer` on all hosts; needed where `inject`
            says where a key goes.
    """

    authorization_url: str | None = None
    token_url: str | None = None
    refresh_url: str | None = None
    revocation_url: str | None = None
    revocation: RevocationDefinition | None = None
    device_authorization_url: str | None = None
    device_token_request: Literal["oauth2_form", "json"] = "oauth2_form"  # noqa: S105  a form of body
    registration_endpoint: str | None = None
    issuer: str | None = None
    resource: str | None = None
    base_url: str | None = None
    scopes: tuple[str, ...] = ()
    scope_separator: Literal[" ", ","] = " "
    pkce: bool | None = True
    supports_device_flow: bool | None = None
    supports_dcr: bool | None = None
    token_endpoint_auth_method: str | tuple[str, ...] = ("client_secret_post", "none")
    token_request: Literal["form", "json"] = "form"  # noqa: S105  the same
    public_flows: tuple[Flow, ...] = ()
    authorization_parameters: dict[str, str] = field(default_factory=dict)
    token_parameters: dict[str, str] = field(default_factory=dict)
    client_credentials: ClientCredentialsDefinition | None = None
    jwt_bearer: JwtBearerDefinition | None = None
    app_installation: AppInstallationDefinition | None = None
    https_redirect: bool = False
    inject: tuple[InjectDefinition, ...] = ()

    @property
    def flows(self) -> tuple[Flow, ...]:
        """The ways to a token that there are."""
        known = self.issuer is not None or self.resource is not None
        coded = known or bool(self.authorization_url and self.token_url)
        device = self.device_authorization_url or (known and self.supports_device_flow)
        registers = self.supports_dcr or (self.supports_dcr is None and self.registration_endpoint)
        there: dict[Flow, bool] = {
            "pkce": coded,
            "device_code": bool(device and (known or self.token_url)) and self.supports_device_flow is not False,
            "dcr_pkce": coded and bool(registers),
            "client_credentials": bool(known or self.token_url) and self.client_credentials is not None,
            "jwt_bearer": self.token_url is not None and self.jwt_bearer is not None,
            "app_installation": self.app_installation is not None,
        }
        return tuple(flow for flow, is_there in there.items() if is_there)

    @property
    def auth_methods(self) -> tuple[str, ...]:
        """How the application may show who it is, the best way first."""
        given = self.token_endpoint_auth_method
        return (given,) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class TestRequest(Closed):
    """A cheap authenticated request and the status that tells a good key from a bad one.

    Attributes:
        url: What is asked for, on a host of `host_url`, over https; may hold fields, as in
            `https://api.acme.example/accounts/{account}`.
        method: How it is asked for.
        good_status: The answer to a good key; several in a list.
        bad_status: The answer to a bad one; several in a list.
        ok: Where the answer, in JSON, has to say `true`, as a JSON Pointer such as `/ok`; for providers that answer a
            bad key with a good status.
        identity: Where the answer says whose key it is, as a JSON Pointer such as `/user/login`; of several in a list
            the first that leads to a text or a number counts.
    """

    url: str
    method: Literal["GET", "HEAD", "POST"] = "GET"
    good_status: int | tuple[int, ...] = 200
    bad_status: int | tuple[int, ...] = 401
    ok: str | None = None
    identity: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        target = self.target
        if not self.url.startswith("https://") or not target or "#" in target:
            raise ValueError(f"`{self.url}` is not the address of a request: https, a host and a path")
        Host.declared(self.authority)
        pointers = [*([] if self.ok is None else [self.ok]), *self.identities]
        if wrong := [each for each in pointers if not _POINTER.fullmatch(each)]:
            raise ValueError(f"{ascii(wrong[0])} is not a JSON Pointer (RFC 6901), as in `/user/login`")
        if pointers and self.method == "HEAD":
            raise ValueError("the answer to HEAD has nothing that `ok` or `identity` could lead to")

    @property
    def good(self) -> frozenset[int]:
        """Every status that says that a key is good."""
        return _statuses(self.good_status)

    @property
    def bad(self) -> frozenset[int]:
        """Every status that says that a key is bad."""
        return _statuses(self.bad_status)

    @property
    def identities(self) -> tuple[str, ...]:
        """Every place in which the answer may say whose key it is."""
        return (self.identity,) if isinstance(self.identity, str) else self.identity

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
        return Host.declared(self.authority)


def _statuses(given: int | tuple[int, ...]) -> frozenset[int]:
    return frozenset((given,) if isinstance(given, int) else given)


@dataclass(frozen=True, slots=True)
class Definition(Closed):
    """How one service authenticates, and to which hosts its credential may go.

    Closed: what it does not know is an error.

    Attributes:
        name: What the provider is called in commands and in `authsome.yaml`; the file is named `<name>.json`.
        host_url: The hosts its credential may go to, each exactly, as in `api.example.com`; one, or a list. A setting
            may be part of it, as in `{shop}.example.com`. `*.example.com` is all hosts below one.
        schema_version: The form of this file; there is one so far.
        display_name: What the provider is called where a person reads it.
        auth_type: Whether a person gives a key, or a token comes from OAuth. A provider that has both says `api_key`,
            and `oauth` besides.
        flow: How a credential is come by if nobody says otherwise.
        oauth: Where tokens come from and what they are asked for.
        client: The variables from which an application's id and secret are read.
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
    flow: Flow = "api_key"
    oauth: OAuthDefinition | None = None
    client: ClientDefinition | None = None
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
        if self.auth_type == "oauth2":
            if self.oauth is None:
                raise ValueError("`oauth` is missing")
            if self.api_key is not None:
                raise ValueError("with `api_key`, `auth_type` is `api_key`: a provider has `oauth` besides")
            return
        if self.api_key is None and not self.fields:
            raise ValueError("`api_key` is missing, or `fields` and `inject`")
        if self.api_key is not None and self.fields:
            raise ValueError("give either `api_key` or `fields`")
        if self.fields and not self.inject:
            raise ValueError("`inject` is missing: it says where the `fields` go")
