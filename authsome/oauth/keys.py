"""Keys that are signed with instead of a secret being sent: what a person gave for one, and whether it is one.

Promises that a key which is stored can sign, and that a file which is none is named as what it is: gcloud's own login,
an application's secret, a public key. Refuses a key file that is for another token endpoint than the definition's, and
repeats nothing of any of them.
"""

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LEAST_BITS = 2048
"""Of an RSA key (RFC 7518, 3.3)."""

_LONGEST = 1 << 16
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----\s*")
_TOLD = re.compile(r"[!-~]{1,1024}")
_MAKE = "make a key of the kind JSON on the service account's page, and give the whole file"
_OTHERWISE = {
    "authorized_user": "gcloud's own login of a person (`authorized_user`)",
    "external_account": "for a login by another cloud (`external_account`)",
    "external_account_authorized_user": "for a person's login by another cloud (`external_account_authorized_user`)",
    "impersonated_service_account": "for acting as a service account (`impersonated_service_account`)",
    "gdch_service_account": "for a cloud of one's own (`gdch_service_account`)",
}


@dataclass(frozen=True, slots=True)
class Account:
    """A service account: one of a program, with the key that it signs with.

    Attributes:
        email: Who it is.
        key_id: Which of its keys, None if the file does not say.
        key: The key, PEM.
        text: The file on one line.
    """

    email: str
    key_id: str | None
    key: str = field(repr=False)
    text: str = field(repr=False)


def service_account(given: str, token_url: str) -> Account:
    """Return what a key file says; raise (exit code 2) if it is none, or one for another endpoint than `token_url`.

    Whether its key can sign is for `loaded` to say.
    """
    said = _object(given)
    kind = said.get("type")
    if isinstance(kind, str) and kind in _OTHERWISE:
        raise _no(f"this file is {_OTHERWISE[kind]}, and no key of a service account", _MAKE)
    if "installed" in said or "web" in said:
        hint = f"its client_id and client_secret are for a login in the browser; for this one, {_MAKE}"
        raise _no("this file is an application's id and secret, and no key of a service account", hint)
    if kind != "service_account":
        raise _no("this file is no key of a service account: its `type` says something else", _MAKE)
    for name in ("client_email", "private_key", "token_uri"):
        if not isinstance(said.get(name), str) or not said[name]:
            raise _no(f"this is not the whole key of a service account: `{name}` is missing", _MAKE)
    key_id = said.get("private_key_id")
    names = (said["client_email"], *(() if key_id is None else (key_id,)))
    if not all(isinstance(name, str) and _TOLD.fullmatch(name) for name in names):
        raise _no("this is no key of a service account: its name holds what none does", _MAKE)
    if said["token_uri"] != token_url:
        # NOTE: what is signed goes to the definition's endpoint in any case; the file does not say where.
        raise _no(
            f"this key is not for {token_url}: its `token_uri` says something else",
            "of an old file, change `token_uri`: the key stays what it is; of another cloud, it is another provider",
        )
    return Account(said["client_email"], key_id, written(said["private_key"]), json.dumps(said))


def _object(given: str) -> dict[str, Any]:
    text = given.strip("\ufeff \t\r\n")
    if len(text) > _LONGEST:
        raise _no(f"this is no key of a service account: it has more than {_LONGEST} characters", _MAKE)
    if _PEM.search(text) and not text.startswith("{"):
        raise _no("this is a private key alone, and not the JSON file that it came in", _MAKE)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise _no("this is no key of a service account: it is not JSON", _MAKE) from None
    if not isinstance(said, dict):
        raise _no("this is no key of a service account: it is no JSON object", _MAKE)
    return said


def written(given: str) -> str:
    """Return a private key as PEM is written, also where its line breaks were lost on the way.

    Raises (exit code 2) if it is none; whether it can sign is for `loaded` to say.
    """
    text = given.strip().replace("\\n", "\n")
    if "ENCRYPTED" in text:
        raise _no("this private key is protected by a passphrase", "take that off: openssl pkey -in FILE -out PLAIN")
    blocks = list(_PEM.finditer(text)) if len(text) <= _LONGEST else []
    found = next((each for each in blocks if "PRIVATE KEY" in each[1]), None)
    if found is None and blocks:
        raise _no("this is the public half of a key, with which nothing can be signed", _PASTE)
    if found is None:
        raise _no("this is no private key: it is not PEM", _PASTE)
    return f"-----BEGIN {found[1]}-----\n{textwrap.fill(''.join(found[2].split()), 64)}\n-----END {found[1]}-----\n"


def loaded(pem: str, *, rsa: bool = False) -> "RSAPrivateKey | EllipticCurvePrivateKey":
    """Return a private key to sign with; raise (exit code 2) if it is none, or one of a kind that nobody takes.

    Takes 50 ms: the numbers of a key that has been tampered with would tell it to whoever sees what it signs.

    Args:
        rsa: Whether it has to be one of RSA.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  most logins sign nothing
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem.encode("ascii", "replace"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _no("this is no private key, or not all of it", _PASTE) from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < LEAST_BITS:
            raise _no(f"this private key has {key.key_size} bits, and needs {LEAST_BITS}", "make a new one")
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) and not rsa:
        return key
    kinds = "RSA" if rsa else "RSA, or EC on the curve P-256"
    raise _no(f"this private key is of another kind than {kinds}", "make a new one")


def signed(said: Mapping[str, Any], pem: str, *, key_id: str | None = None) -> str:
    """Return a JWT (RFC 7519) that says this; RS256 or ES256 (RFC 7518, 3.1), as the key is."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415  as above
    from joserfc import jwk, jwt  # noqa: PLC0415  50 ms, besides

    key = loaded(pem)
    algorithm = "RS256" if isinstance(key, RSAPrivateKey) else "ES256"
    made = jwk.RSAKey.import_key(key) if isinstance(key, RSAPrivateKey) else jwk.ECKey.import_key(key)
    header = {"alg": algorithm, **({"kid": key_id} if key_id else {})}
    return jwt.encode(header, dict(said), made, algorithms=[algorithm])


_PASTE = "give the whole file, from -----BEGIN to the last -----"


def _no(message: str, hint: str) -> AuthsomeError:
    return AuthsomeError(message, hint=hint, code=ExitCode.USAGE)
