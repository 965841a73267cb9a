"""Files of keys: a good one is taken as it is copied, another file is called what it is, and nothing of it is said."""

import json
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth.asked import client_given
from authsome.oauth.keys import loaded, service_account, signed, written
from authsome.provider import Catalogue, OAuth
from canary import CANARY

URL = "https://oauth2.googleapis.com/token"
INSTALLATION = {"app_id": "4711", "installation_id": "17"}


@cache
def _key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, secret: bytes | None = None) -> str:
    guard = BestAvailableEncryption(secret) if secret else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, form, guard)
    return text.decode()


def _file(**change: Any) -> str:
    said = {
        "type": "service_account",
        "project_id": f"{CANARY}-project",
        "private_key_id": f"{CANARY}0123456789abcdef",
        "private_key": _pem(_key()),
        "client_email": "robot@acme.iam.gserviceaccount.com",
        "client_id": "117",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": URL,
        "universe_domain": "googleapis.com",
    }
    return json.dumps({name: value for name, value in (said | change).items() if value is not None}, indent=2)


def _oauth(name: str) -> OAuth:
    found = Catalogue(None).get(name).oauth
    assert found
    return found


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda text: text,
        lambda text: text.replace("\n", ""),
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\\n"),
        lambda text: f"\n\n  {text}\n\n",
        lambda text: f"Bag Attributes\n    friendlyName: key\n{text}",
    ],
    ids=["as it is", "one line", "blanks", "CRLF", "escaped", "padded", "attributes"],
)
def test_a_key_is_taken_as_it_arrives(spoiled: Any) -> None:
    pem = _pem(_key(), PrivateFormat.TraditionalOpenSSL)
    assert written(spoiled(pem)) == pem
    given = client_given(_oauth("github"), "app_installation", {**INSTALLATION, "private_key": spoiled(pem)}, None, {})
    assert given.more["private_key"] == pem
    assert given.client_id == "4711"
    assert "PRIVATE" not in repr(given)


def test_a_key_file_is_kept_on_one_line_whatever_it_looked_like() -> None:
    for text in (_file(), f"\ufeff{_file()}", _file().replace("\n", ""), f"  {_file()}\r\n"):
        given = client_given(_oauth("google"), "jwt_bearer", {"service_account": text}, None, {})
        assert json.loads(given.more["service_account"]) == json.loads(_file())
        assert given.more["service_account"].isprintable()
        assert given.client_id == "robot@acme.iam.gserviceaccount.com"
        assert CANARY not in repr(given)
    assert CANARY not in repr(service_account(_file(), URL)).replace(f"{CANARY}0123456789abcdef", "")


def test_parameters_of_a_curve_before_its_key_do_no_harm() -> None:
    pem = _pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.TraditionalOpenSSL)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert written(parameters + pem) == pem
    assert signed({"a": "b"}, pem).count(".") == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (f"{CANARY}", "it is not JSON"),
        ("", "is empty"),
        ("[]", "it is no JSON object"),
        ("[" * 60_000, "it is not JSON"),
        ("{" * 70_000, "more than 65536 characters"),
        (
            f'{{"type": "authorized_user", "refresh_token": "{CANARY}"}}',
            r"gcloud's own login of a person \(`authorized_",
        ),
        ('{"type": "external_account"}', "a login by another cloud"),
        ('{"type": "impersonated_service_account"}', "for acting as a service account"),
        (f'{{"installed": {{"client_secret": "{CANARY}"}}}}', "an application's id and secret"),
        (f'{{"web": {{"client_secret": "{CANARY}"}}}}', "an application's id and secret"),
        (f'{{"type": "{CANARY}"}}', "its `type` says something else"),
        ('{"type": {"service_account": 1}}', "its `type` says something else"),
        (_file(client_email=None), "`client_email` is missing"),
        (_file(client_email=7), "`client_email` is missing"),
        (_file(private_key=None), "`private_key` is missing"),
        (_file(token_uri=None), "`token_uri` is missing"),
        (_file(client_email=f"{CANARY}\n"), "its name holds what none does"),
        (_file(private_key_id=[]), "its name holds what none does"),
        (_file(token_uri=f"https://evil.example/{CANARY}"), f"is not for {URL}: its `token_uri`"),
        (_file(token_uri=f"{URL}/"), f"is not for {URL}"),
        (_file(token_uri="https://accounts.google.com/o/oauth2/token"), f"is not for {URL}"),
        (_file(private_key=CANARY), "it is not PEM"),
        (_file(private_key=f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"), "or not all of it"),
    ],
)
def test_a_file_that_is_none_is_called_what_it_is(given: str, message: str) -> None:
    with pytest.raises(AuthsomeError, match=message) as caught:
        client_given(_oauth("google"), "jwt_bearer", {"service_account": given}, None, {})
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.hint
    assert CANARY not in f"{caught.value.message}{caught.value.hint}"


def test_a_key_without_its_file_is_not_enough_for_a_service_account() -> None:
    with pytest.raises(AuthsomeError, match="a private key alone"):
        service_account(_pem(_key()), URL)


def test_a_key_that_nothing_can_be_signed_with_is_refused() -> None:
    public = _key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    pem = _pem(_key())
    for given, message in (
        (public, "the public half"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "the public half"),
        (_pem(_key(), secret=b"CANARY"), "protected by a passphrase"),
        (_pem(_key(), PrivateFormat.TraditionalOpenSSL, b"CANARY"), "protected by a passphrase"),
        (_pem(_key(1024)), "1024 bits, and needs 2048"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "of another kind than RSA"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "of another kind than RSA"),
        (pem[: len(pem) // 2], "not PEM"),
        (pem.replace(pem[200:260], ""), "or not all of it"),
        ("ssh-rsa AAAAB3NzaC1yc2E me@here", "not PEM"),
        (f"-----BEGIN {CANARY}-----\nAAAA\n-----END {CANARY}-----", "not PEM|public half"),
        ("-----BEGIN PRIVATE KEY-----" * 4000, "not PEM"),
    ):
        with pytest.raises(AuthsomeError, match=message) as caught:
            client_given(_oauth("github"), "app_installation", {**INSTALLATION, "private_key": given}, None, {})
        said = f"{caught.value.message}{caught.value.hint}"
        assert CANARY not in said
        assert "AAAA" not in said
    assert "P-256" in _refusal(_pem(ec.generate_private_key(ec.SECP384R1())))


def _refusal(pem: str) -> str:
    with pytest.raises(AuthsomeError) as caught:
        loaded(pem)
    return caught.value.message
