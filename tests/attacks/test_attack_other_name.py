"""A request names another host than the one its connection was opened to: refused, with the two names."""

from collections.abc import Iterator

import pytest

import stage as stages
from byhand import http2
from octets import Fields
from stage import HELD, NAME, Stage

pytest_plugins = ["stage_fixtures"]

FILES = "files.acme.example"
OTHERS = (FILES, "evil.example", f"{NAME}.evil.example", f"evil-{NAME}", f"{NAME}.", "localhost", "127.0.0.1", "")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Furnish a stage with two declared hosts: what is right for the one is wrong for the other."""
    with stages.stage(tmp_path_factory.mktemp("outside"), hosts=(NAME, FILES)) as made:
        yield made


def _pseudo(*fields: tuple[str, str]) -> Fields:
    return tuple((name.encode(), value.encode()) for name, value in fields)


@pytest.mark.parametrize("other", [*OTHERS, NAME, f"{NAME}:443", f"user@{NAME}", "[::1]"])
def test_another_host_in_the_request_is_refused(stage: Stage, protocol: str, other: str) -> None:
    named = other if ":" in other or other == NAME or not other else f"{other}:{stage.origin.port}"
    with stage.open(protocol) as connection:
        answer = connection.ask(headers=HELD, authority=named or " ")
    assert answer.error in {"host_mismatch", "malformed_request"} or (answer.status or 400) == 400
    assert answer.status in {400, 421, None}
    assert stage.origin.carried == []


@pytest.mark.parametrize(
    "fields", [((b"Host", b"evil.example"),), ((b"Host", NAME.encode()), (b"Host", b"evil.example"))]
)
def test_a_second_host_is_refused(stage: Stage, protocol: str, fields: Fields) -> None:
    answer = stage.ask(protocol, headers=(*HELD, *fields))
    assert answer.status in {400, 421, None}
    assert stage.origin.carried == []


def test_an_explained_refusal_names_both_hosts(stage: Stage, protocol: str) -> None:
    answer = stage.ask(protocol, authority="evil.example")
    assert (answer.status, answer.error) == (421, "host_mismatch")
    assert stage.host.encode() in answer.body
    assert b"evil.example" in answer.body
    assert [use.decision for use in stage.uses] == ["host_mismatch"]


@pytest.mark.parametrize("sni", ["evil.example", FILES, f"{NAME}.evil.example", "localhost", ""])
def test_another_name_in_the_tls_hello_is_refused(stage: Stage, protocol: str, sni: str) -> None:
    answer = stage.ask(protocol, sni=sni)
    assert (answer.status, answer.error) == (421, "host_mismatch")
    assert stage.origin.carried == []


def test_an_authority_that_stands_twice_is_refused(stage: Stage) -> None:
    names = (":method", "GET"), (":scheme", "https"), (":authority", stage.host), (":path", "/")
    with stage.open("h2") as connection:
        answer = http2(connection).ask_fields((*_pseudo(*names, (":authority", "evil.example")), *HELD))
    assert answer.status in {400, 421, None}
    assert stage.origin.carried == []


def test_no_authority_at_all_is_refused(stage: Stage) -> None:
    names = (":method", "GET"), (":scheme", "https"), (":path", "/")
    with stage.open("h2") as connection:
        answer = http2(connection).ask_fields((*_pseudo(*names), *((b"authorization", value) for _, value in HELD)))
    assert answer.status in {400, 421, None}
    with stage.open() as connection:
        answer = connection.ask_octets(b"GET / HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n")
    assert answer.status in {400, 421, None}
    assert stage.origin.carried == []


def test_the_right_host_passes(stage: Stage, protocol: str) -> None:
    """The control: what is refused above is refused for its name."""
    assert stage.ask(protocol).status == 200
    stage.injected()
