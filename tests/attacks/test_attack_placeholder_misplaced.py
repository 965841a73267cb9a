"""A placeholder where the provider takes no credential: refused or left as it is, and never substituted there."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

import stage as stages
from authsome.provider import PLACEHOLDER, InjectDefinition
from octets import Fields
from stage import HELD, KEY, Stage

pytest_plugins = ["stage_fixtures"]

P = PLACEHOLDER.encode()
ESCAPED = "".join(f"%{ord(char):02x}" for char in PLACEHOLDER)


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Furnish a stage whose provider takes its credential below /api only."""
    inject = (InjectDefinition(value="Bearer {api_key}", paths=("/api/**",)),)
    with stages.stage(tmp_path_factory.mktemp("outside"), definition=lambda it: replace(it, inject=inject)) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/models?key={PLACEHOLDER}", ()),
        (f"/models?key={quote(PLACEHOLDER.replace('-', '%2D'), safe='%')}", ()),
        (f"/models?{ESCAPED}=1", ()),
        (f"/models?key={PLACEHOLDER}-team", ()),
        (f"/v1/{PLACEHOLDER}/models", ()),
        (f"/v1/{ESCAPED}/models", ()),
        ("/", ((b"Cookie", b"session=" + P),)),
        ("/", ((b"Cookie", b"a=b"), (b"Cookie", P + b"=c"))),
        ("/", ((b"Referer", b"https://api.acme.example/?key=" + P),)),
        ("/", ((b"User-Agent", b"agent/" + P),)),
        ("/", ((b"X-Api-Key", P),)),
        ("/", ((b"X-Forwarded-Authorization", b"Basic " + b64encode(b"user:" + P)),)),
    ],
)
def test_a_misplaced_placeholder_is_refused(stage: Stage, protocol: str, path: str, headers: Fields) -> None:
    answer = stage.ask(protocol, path=path, headers=(*HELD, *headers))
    assert (answer.status, answer.error) == (403, "placeholder_misplaced")
    assert stage.origin.carried == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b'{"api_key": "%s", "n": 1}' % P),
        (b"application/x-www-form-urlencoded", b"api_key=%s&grant_type=client_credentials" % P),
        (b"text/plain", b"\r\n\r\nGET / HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n" % P),
    ],
)
def test_a_placeholder_in_a_body_stays_one(stage: Stage, protocol: str, kind: bytes, body: bytes) -> None:
    answer = stage.ask(protocol, "POST", headers=(*HELD, (b"Content-Type", kind)), body=body)
    assert answer.status == 200
    arrived = stage.only()
    assert arrived.body == body
    assert repr(arrived).count(KEY) == 1
    assert arrived.values(b"authorization") == [b"Bearer " + KEY.encode()]


def test_a_placeholder_in_the_name_of_a_header_stays_one(stage: Stage, protocol: str) -> None:
    answer = stage.ask(protocol, headers=(*HELD, (b"X-" + P, b"1")))
    assert answer.status in {200, 403}
    assert all(repr(arrived).count(KEY) == 1 for arrived in stage.origin.arrived)


def test_a_path_that_takes_no_credential_gets_none_and_no_placeholder(partly: Stage, protocol: str) -> None:
    partly.forget()
    assert partly.ask(protocol, path="/page", headers=()).status == 200
    assert partly.only().values(b"authorization") == []
    answer = partly.ask(protocol, path="/page")
    assert (answer.status, answer.error) == (403, "placeholder_misplaced")
    assert len(partly.origin.arrived) == 1
    assert KEY.encode() not in partly.origin.octets()


@pytest.mark.parametrize(
    "path", ["/api/../page", "/page/../api/x", "/api%2fx", "/API/x", "//api/x", "/api;/x", "/%61pi/x"]
)
def test_a_path_that_only_looks_like_one_that_takes_a_credential_gets_none(
    partly: Stage, protocol: str, path: str
) -> None:
    partly.forget()
    assert partly.ask(protocol, path=path, headers=()).status == 200
    assert partly.only().values(b"authorization") == []
    assert partly.only().path == path.encode()
