"""Tokens and applications as a vault keeps them."""

import pytest

from authsome.oauth import Client
from authsome.oauth.kept import client_fields, client_from

CLIENTS = (
    Client("id"),
    Client("id", "CANARY-secret"),
    Client("id", "CANARY-secret", "http://127.0.0.1:7998/callback", "client_secret_basic", 1800000000.5),
    Client("id", None, None, "none", 0.0, {"account_id": "CANARY-7", "client_id": "CANARY-another"}),
)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_application_comes_back_from_its_fields_as_it_was(client: Client) -> None:
    assert client_from(client_fields(client)) == client
    assert all(isinstance(text, str) for text in client_fields(client).values())
