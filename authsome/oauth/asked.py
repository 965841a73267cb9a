"""What a person gives for a login besides the provider's own settings: the application, or a key to sign with.

Promises that nothing is asked for that is known already, from the vault or from the variables that the definition
names. Pure: the environment is an argument. Refuses what can be no part of a request for a token, and repeats nothing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import REDIRECTED, SIGNED, Client, keys
from authsome.provider import Field, OAuth
from authsome.provider.names import SLOT

_KEY_FILE = "service_account"
_VISIBLE = re.compile(r"[!-~]{1,4096}")  # RFC 6749, A.1 and A.2, but for the space, which is a slip in copying
_NUMBER = re.compile(r"[0-9]{1,20}")
_APPLICATION = re.compile(r"[A-Za-z0-9._-]{1,64}")


def environ_client(oauth: OAuth, environ: Mapping[str, str]) -> Client | None:
    """Return the application of the variables that the definition names, None where its id is not among them.

    Raises (exit code 2) if a variable holds what cannot be one.
    """
    client_id = _from_variable(oauth.client.client_id_env, environ)
    secret = _from_variable(oauth.client.client_secret_env, environ)
    return Client(client_id, secret) if client_id else None


def _from_variable(variable: str | None, environ: Mapping[str, str]) -> str | None:
    text = environ.get(variable, "").strip() if variable else ""
    if text and not _VISIBLE.fullmatch(text):
        raise AuthsomeError(
            f"the variable {variable} holds a space or another character that no application has in it",
            hint="set it anew, or leave it out to be asked",
            code=ExitCode.USAGE,
        )
    return text or None


def asked_for(
    oauth: OAuth, flow: str, held: Client | None, environ: Mapping[str, str], *, page: str | None = None
) -> tuple[Field, ...]:
    """Return the values that a person fills in for a flow, besides the provider's settings.

    Args:
        held: The application that the profile has for this provider.
        page: Where the provider says how an application is made.
    """
    if flow in SIGNED:
        return tuple(_signing(oauth, flow, page))
    if flow == "dcr_pkce":
        return ()
    known = _known(oauth, flow, held, environ)
    return tuple(each for each in _of_client(oauth, flow, page) if not _has(known, each))


def _signing(oauth: OAuth, flow: str, page: str | None) -> Iterator[Field]:
    if flow == "jwt_bearer":
        hint = _hint("It is the JSON file of a service account's key, as it was downloaded.", page)
        yield Field(_KEY_FILE, None, hint, (), "Service account key (JSON)")
        if oauth.asks.jwt_bearer and oauth.asks.jwt_bearer.subject:
            hint = _hint("It is the address of somebody for whom the account may act; it may stay empty.", page)
            yield Field("subject", _VISIBLE, hint, (), "Account to act for", secret=False, optional=True)
        return
    hint = _hint("It is on the application's page, under About: a number or a client ID.", page)
    yield Field("app_id", _APPLICATION, hint, (), "App ID", secret=False)
    hint = _hint("It is the number at the end of the address of the installation's page.", page)
    yield Field("installation_id", _NUMBER, hint, (), "Installation ID", secret=False)
    hint = _hint("It is the .pem file that was made on the application's page.", page)
    yield Field("private_key", None, hint, (), "Private key (PEM)")


def _of_client(oauth: OAuth, flow: str, page: str | None) -> Iterator[Field]:
    """Yield what is known of an application where all of it is known."""
    hint = _hint("It is shown where the application was made.", page)
    yield Field("client_id", _VISIBLE, hint, (), "Client ID", secret=False)
    if oauth.asks.auth_methods != ("none",) or flow == "client_credentials":
        public = flow in oauth.asks.public_flows or "none" in oauth.asks.auth_methods
        optional = public and flow != "client_credentials"  # RFC 6749, 4.4: only an application that has a secret
        yield Field("client_secret", _VISIBLE, hint, (), "Client secret", optional=optional)
    if flow == "client_credentials":
        for name in _parameters(oauth):
            label = re.sub(r"\bid\b", "ID", name.replace("_", " ").capitalize())
            yield Field(name, _VISIBLE, hint, (), label, secret=False)


def _hint(words: str, page: str | None) -> str:
    return f"{words} See {page}" if page else words


def _parameters(oauth: OAuth) -> tuple[str, ...]:
    """Return the names in the parameters of a token for the application itself that are no settings."""
    form = oauth.asks.client_credentials
    settings = {each.name for each in oauth.fields if not each.secret}
    found = [slot for text in (form.parameters.values() if form else ()) for slot in SLOT.findall(text)]
    return tuple(dict.fromkeys(name for name in found if name not in settings and name != "base_url"))


def _known(oauth: OAuth, flow: str, held: Client | None, environ: Mapping[str, str]) -> Client | None:
    """Return the application as far as nobody need be asked for it; that of the variables counts before the vault's."""
    given = environ_client(oauth, environ)
    if given is None:
        # One that registered itself is known for its own redirect only.
        own = held is not None and held.redirect_uri is not None and flow not in REDIRECTED
        return None if own else held
    if held is not None and held.client_id == given.client_id:
        return replace(held, client_secret=given.client_secret or held.client_secret)
    return given


def _has(known: Client | None, field: Field) -> bool:
    if known is None:
        return False
    if field.name == "client_secret":
        # Whoever left out a secret that may be left out is not asked for it again.
        return known.client_secret is not None or field.optional or known.redirect_uri is not None
    return field.name == "client_id" or field.name in known.more


def key_file(wanted: Iterable[Field], given: str) -> Mapping[str, str]:
    """Return the field that a piped text is for by itself, as the file of a key is JSON like several fields are.

    Empty where it holds several, or is for another field.
    """
    if not any(each.name == _KEY_FILE for each in wanted):
        return {}
    try:
        said = json.loads(given)
    except (ValueError, RecursionError):
        return {_KEY_FILE: given}  # whoever reads it says what it is
    return {} if isinstance(said, dict) and _KEY_FILE in said else {_KEY_FILE: given}


def client_given(
    oauth: OAuth,
    flow: str,
    fields: Mapping[str, str],
    held: Client | None,
    environ: Mapping[str, str],
    *,
    page: str | None = None,
) -> Client:
    """Return the application to log in with; for a flow that is signed, its `more` is what the connection has to keep.

    Args:
        fields: What was given for `asked_for`; what it did not ask for does not count.
        page: As there, for the hint of an error.

    Raises (exit code 2) with what is wrong with it; says nothing of what was given.
    """
    wanted = asked_for(oauth, flow, held, environ, page=page)
    given = {each.name: text for each in wanted if (text := _checked(each, fields.get(each.name, "")))}
    if flow in SIGNED:
        return _signer(oauth, flow, given)
    known = _known(oauth, flow, held, environ) or Client("")
    more = {name: given[name] for name in given if name not in ("client_id", "client_secret")}
    return replace(
        known,
        client_id=given.get("client_id", known.client_id),
        client_secret=given.get("client_secret", known.client_secret),
        more={**known.more, **more},
    )


def _signer(oauth: OAuth, flow: str, given: Mapping[str, str]) -> Client:
    if flow == "app_installation":
        key = keys.written(given["private_key"])
        keys.loaded(key, rsa=True)
        return Client(given["app_id"], more={**given, "private_key": key})
    account = keys.service_account(given[_KEY_FILE], oauth.asks.token_url or "")
    keys.loaded(account.key)
    return Client(account.email, more={**given, _KEY_FILE: account.text})


def _checked(field: Field, given: str) -> str:
    text = given.strip()
    if not text and not field.optional:
        raise AuthsomeError(f"the {field.label} is empty", hint=field.hint, code=ExitCode.USAGE)
    if text and field.pattern and not field.pattern.fullmatch(text):
        raise AuthsomeError(f"this is no {field.label}", hint=field.hint, code=ExitCode.USAGE)
    return text
