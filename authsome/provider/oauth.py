"""Where tokens come from, checked: addresses, forms and the flows that they make possible.

Promises that whatever holds the client's secret, a code or a token goes over https to a host that the definition names
exactly, and that a definition offers a flow only with all that it needs. Refuses parameters of the protocol itself
(`state`, `redirect_uri`, `code_challenge`) in a definition: what protects a login is not its author's to set.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authsome.provider.definition import (
    ClientDefinition,
    Flow,
    OAuthDefinition,
    RevocationDefinition,
)
from authsome.provider.mistakes import MistakeError, at
from authsome.provider.names import SLOT, Host
from authsome.provider.placement import Placement

TOKENS = ("access_token", "refresh_token")
"""The secrets of a connection that OAuth has made."""

OWN_PARAMETERS = frozenset(
    {
        *("response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "request"),
        *("request_uri", "code_challenge", "code_challenge_method", "code_verifier", "code", "grant_type"),
        *("refresh_token", "access_token", "token", "assertion", "client_assertion", "client_assertion_type"),
        *("device_code", "username", "password"),
    }
)
"""What a login says by itself (RFC 6749, 7521, 7523, 7636, 8628, 9101; OpenID Connect)."""

SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""One scope (RFC 6749, 3.3)."""

OWN_FIELDS = frozenset(
    {
        *("client_id", "client_secret", "service_account", "subject", "app_id", "installation_id", "private_key"),
        "former_refresh_token",
    }
)
"""What a login with OAuth asks for, and keeps, by itself."""

PERSONS_PAGE = "authorization_url"
_BASE = "base_url"
LATER = {"revocation": ("client_id",), "app_installation": ("installation_id",)}
"""What an address names that is no setting, and is known only when it is used."""
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "pkce": ("authorization_url", "token_url"),
    "device_code": ("device_authorization_url", "token_url"),
    "dcr_pkce": ("supports_dcr", "authorization_url", "token_url"),
    "client_credentials": ("client_credentials", "token_url"),
    "jwt_bearer": ("jwt_bearer", "token_url"),
    "app_installation": ("app_installation",),
}
_RULED_OUT = {"device_code": "supports_device_flow", "dcr_pkce": "supports_dcr"}
_METHODS = ("client_secret_basic", "client_secret_post", "none")
_URL = re.compile(r"https://([^/?#]*)((?:/[!-~]*)?)")
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]+")
_SETTING = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class OAuth:
    """How tokens of a provider are come by, and where they go.

    Attributes:
        asks: The addresses and forms, checked; settings may still be missing of them (see `filled`).
        client: The variables that hold the application's id and secret.
        fields: What a connection of tokens holds, as `Provider.fields`; those of the provider if it has no keys.
        placements: Where its access token goes.
    """

    asks: OAuthDefinition
    client: ClientDefinition
    fields: tuple[Any, ...]
    placements: tuple[Placement, ...]

    @property
    def token_hosts(self) -> frozenset[str]:
        """Where codes, tokens and the application's secret may go."""
        return hosts(self.asks)


def endpoints(asks: OAuthDefinition) -> Mapping[str, str]:
    """Return every address that there is, by the key that it stands under."""
    named = (PERSONS_PAGE, "token_url", "refresh_url", "revocation_url", "device_authorization_url")
    found: dict[str, str | None] = {name: getattr(asks, name) for name in named}
    found["revocation"] = asks.revocation.url if asks.revocation else None
    found["app_installation"] = asks.app_installation.url if asks.app_installation else None
    found["registration_endpoint"] = asks.registration_endpoint
    found["issuer"] = asks.issuer
    found["resource"] = asks.resource
    return {name: url for name, url in found.items() if url is not None}


def hosts(asks: OAuthDefinition) -> frozenset[str]:
    """Return the hosts that get codes, tokens or the client's secret, and slots where settings are missing."""
    base = asks.base_url or f"{{{_BASE}}}"
    # What the tokens are for says where they come from only where nothing else does.
    none = {PERSONS_PAGE} if asks.issuer is None and asks.token_url is None else {PERSONS_PAGE, "resource"}
    urls = [url.replace(f"{{{_BASE}}}", base.rstrip("/")) for name, url in endpoints(asks).items() if name not in none]
    return frozenset(url.removeprefix("https://").partition("/")[0].lower() for url in urls)


def filled(asks: OAuthDefinition, settings: Mapping[str, str]) -> OAuthDefinition:
    """Return it with settings in its slots; raise `ValueError` where one is missing or makes no address.

    Args:
        settings: Those of a connection; `base_url` among them counts before the definition's own.
    """
    given = ({_BASE: asks.base_url} if asks.base_url is not None else {}) | dict(settings)
    for name, text in given.items():
        with at(_BASE if name == _BASE else "settings"):
            if name == _BASE:
                _endpoint(text)
            elif not _SETTING.fullmatch(text):
                raise ValueError(f"{ascii(text)} is no part of an address")
    change: dict[str, Any] = {}
    for name, url in endpoints(asks).items():
        with at(name):
            made = _filled(url, given, LATER.get(name, ()))
            _endpoint(made, whole=name == "issuer")
            change[name] = made
    for name in ("revocation", "app_installation"):
        if name in change:
            change[name] = replace(getattr(asks, name), url=change[name])
    for name in ("authorization_parameters", "token_parameters"):
        with at(name):
            change[name] = {key: _filled(text, given, ()) for key, text in getattr(asks, name).items()}
    if asks.jwt_bearer and asks.jwt_bearer.audience is not None:
        with at("jwt_bearer", "audience"):
            audience = _filled(asks.jwt_bearer.audience, given, ())
            change["jwt_bearer"] = replace(asks.jwt_bearer, audience=audience)
    if asks.client_credentials:  # what is no setting is given with the application
        parameters = {key: _settled(text, given) for key, text in asks.client_credentials.parameters.items()}
        change["client_credentials"] = replace(asks.client_credentials, parameters=parameters)
    return replace(asks, **change)


def _filled(text: str, given: Mapping[str, str], later: Collection[str]) -> str:
    if f"{{{_BASE}}}" in text and not re.match(rf"\{{{_BASE}\}}(?:/|$)", text):
        raise ValueError(f"`{text}`: `{{{_BASE}}}` stands at the beginning, before a `/`")
    for name in SLOT.findall(text):
        if name not in given and name not in later:
            raise ValueError(f"`{text}`: `{{{name}}}` is no setting; a field is one with `secret: false`")
    return _settled(text, given)


def _settled(text: str, given: Mapping[str, str]) -> str:
    return SLOT.sub(lambda slot: given.get(slot[1], slot[0]).rstrip("/" if slot[1] == _BASE else ""), text)


def _endpoint(url: str, *, whole: bool = False) -> None:
    """Refuse what is not an https address of one exact host (RFC 6749, 3.1: without a fragment).

    Args:
        whole: Whether a query is refused as well (RFC 8414, 2: an issuer has none).
    """
    found = _URL.fullmatch(url)
    if not found or "#" in url or "\\" in url or (whole and "?" in url):
        raise ValueError(f"`{url}` is not an address for OAuth: https, a host, a path, no `#`")
    Host.parse(found[1])


def check(asks: OAuthDefinition, settings: Iterable[str], flow: Flow | None) -> None:
    """Raise `MistakeError` for the first thing that is wrong.

    Args:
        settings: The names of the provider's fields that are no secrets.
        flow: The definition's own, None if that is no flow of OAuth.
    """
    sample = dict.fromkeys(settings, "x") | {_BASE: asks.base_url or "https://x.example"}
    for name, url in endpoints(filled(asks, sample)).items():
        if name != "revocation":  # a form of the provider's own
            with at(name):
                _check_query(url)
    _check_flows(asks, flow)
    _check_scopes(asks)
    _check_methods(asks.auth_methods)
    if asks.revocation and asks.revocation_url is not None:
        raise MistakeError("give either `revocation_url` or `revocation`", ("revocation",))
    if asks.revocation:
        with at("revocation"):
            _check_revocation(asks.revocation)
    for name in ("authorization_parameters", "token_parameters"):
        with at(name):
            _check_parameters(getattr(asks, name), OWN_PARAMETERS)
    if asks.client_credentials:
        with at("client_credentials", "parameters"):
            _check_parameters(asks.client_credentials.parameters, OWN_PARAMETERS)
    _check_signed(asks)


def _check_flows(asks: OAuthDefinition, flow: Flow | None) -> None:
    if asks.supports_device_flow and "device_code" not in asks.flows:
        raise MistakeError(f"`supports_device_flow` needs {_lacking(asks, 'device_code')}", ("supports_device_flow",))
    if not asks.flows:
        raise MistakeError(f"`oauth` leads to no token: give {_listed(_NEEDED['pkce'])}", ())
    if flow is not None and flow not in asks.flows:
        raise MistakeError(f"the flow `{flow}` needs {_lacking(asks, flow)}", ())
    if strange := sorted(set(asks.public_flows) - set(asks.flows)):
        raise MistakeError(f"there is no flow `{strange[0]}`", ("public_flows",))


def _lacking(asks: OAuthDefinition, flow: Flow) -> str:
    """Return what a flow that does not exist needs."""
    if flow not in _NEEDED:
        return f"a key; what this `oauth` makes possible is {' or '.join(asks.flows)}"
    missing = [name for name in _NEEDED[flow] if getattr(asks, name) is None]
    if "supports_dcr" in missing and asks.registration_endpoint is not None:
        missing.remove("supports_dcr")
    return _listed(missing) if missing else f"`{_RULED_OUT[flow]}` to be no `false`"


def _listed(names: Collection[str]) -> str:
    *more, last = (f"`{name}`" for name in names)
    return f"{', '.join(more)} and {last}" if more else last


def _check_signed(asks: OAuthDefinition) -> None:
    if asks.jwt_bearer and asks.jwt_bearer.audience is not None:
        with at("jwt_bearer", "audience"):
            if not _printable(asks.jwt_bearer.audience):
                raise ValueError("`audience` is empty: leave it out")
    if asks.app_installation and "{installation_id}" not in asks.app_installation.url:
        message = "`url` names no installation: `{installation_id}` is a part of its path"
        raise MistakeError(message, ("app_installation", "url"))


def _check_scopes(asks: OAuthDefinition) -> None:
    for index, scope in enumerate(asks.scopes):
        if not SCOPE.fullmatch(scope) or asks.scope_separator in scope:
            raise MistakeError(f"{ascii(scope)} is not a scope", ("scopes", index))


def _check_methods(methods: tuple[str, ...]) -> None:
    if not methods or len(set(methods)) != len(methods) or not set(methods) <= set(_METHODS):
        raise MistakeError(
            f"`token_endpoint_auth_method` is one or some of {', '.join(_METHODS)}", ("token_endpoint_auth_method",)
        )


def _check_revocation(form: RevocationDefinition) -> None:
    if form.authorization is not None and form.basic is not None:
        raise ValueError("give either `authorization` or `basic`")
    if form.form and form.json:
        raise ValueError("give either `form` or `json`")
    basic = (form.basic.username, form.basic.password) if form.basic else ()
    values = [*form.query.values(), *form.form.values(), *form.json.values(), *basic]
    values += [form.authorization] if form.authorization is not None else []
    _check_parameters({**form.query, **form.form, **form.json}, ())
    used = {slot for value in values for slot in SLOT.findall(_printable(value))}
    if strange := sorted(used - {*TOKENS, "client_id", "client_secret"}):
        raise ValueError(f"`{{{strange[0]}}}` is neither a token nor of the application")
    if not used & set(TOKENS):
        raise ValueError("`revocation` names no token: a template takes it as in `{access_token}`")


def _check_query(url: str) -> None:
    """Refuse in an address what a definition may not add to it either: of two, a server takes the one it likes."""
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name in OWN_PARAMETERS:
            raise ValueError(f"`{name}` is a parameter of OAuth itself, which a login sets")


def _check_parameters(given: Mapping[str, str], own: Collection[str]) -> None:
    for name, value in given.items():
        if not _PARAMETER.fullmatch(name):
            raise ValueError(f"{ascii(name)} is not the name of a parameter")
        if name in own:
            raise ValueError(f"`{name}` is a parameter of OAuth itself, which a login sets")
        _printable(value)


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{ascii(text)} holds what no parameter does")
    return text
