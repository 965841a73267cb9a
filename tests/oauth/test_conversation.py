"""What is said to a provider is what it wants, and what it says is heard as it is meant."""

from collections.abc import Callable
from typing import Any

import pytest

from authsome.oauth import AuthorizationRequest, Client, Tokens
from authsome.oauth.conversation import Conversation
from authsome.outside import transport
from quirks import CLIENT, REDIRECT, Server

pytest_plugins = ["quirks_fixtures"]

STATE, VERIFIER = "CANARY-state-0123456789abcdef", "CANARY-verifier-0123456789abcdef0123456789abcdef"
SCOPES = ("read", "write")

type Opened = Callable[..., Conversation]


@pytest.fixture
def opened(quirky: Server) -> Opened:
    def make(client: Client = CLIENT, flow: str = "pkce", **more: Any) -> Conversation:
        provider = quirky.provider(**more)
        assert provider.oauth
        return Conversation(provider.oauth.asks, client, transport(provider, quirky.outside), flow=flow)

    return make


def _by_code(quirky: Server, conversation: Conversation) -> Tokens:
    url = conversation.url(SCOPES, REDIRECT, STATE, VERIFIER)
    return conversation.code(quirky.agree(url), AuthorizationRequest(url, STATE, REDIRECT), VERIFIER)


def test_a_code_becomes_tokens_that_work(quirky: Server, opened: Opened) -> None:
    tokens = _by_code(quirky, opened())
    assert quirky.good(tokens.access_token)
    assert (tokens.expires_in, tokens.scopes) == (3600.0, SCOPES)
    assert tokens.refresh_token
    renewed = opened().renew(tokens.refresh_token)
    assert quirky.good(renewed.access_token)
    assert renewed.refresh_token not in (None, tokens.refresh_token)
    assert quirky.calls["/token"] == 2
