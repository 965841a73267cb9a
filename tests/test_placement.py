"""Where the parts of a credential go in a request's target, and what else could be read there."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import given, strategies as st

from authsome.manifest import undeclared
from authsome.provider import (
    PLACEHOLDER,
    AlsoDefinition,
    BasicDefinition,
    Definition,
    FieldDefinition,
    Host,
    InjectDefinition,
    Placement,
    resolve,
)
from authsome.proxy.message import Asked, Fields, RefusedError
from authsome.proxy.relay import inject
from authsome.rules import Decision, Inject, Pass, Refusal, Request, make
from authsome.session import Session

HOST = "api.acme.example"
SECRET = FieldDefinition()
KEY: Mapping[str, FieldDefinition] = {"api_key": SECRET}


def _definition(*inject: InjectDefinition, fields: Mapping[str, FieldDefinition] = KEY, **more: Any) -> Definition:
    return Definition("acme", HOST, fields=dict(fields), inject=inject, **more)


def _place(fields: Mapping[str, FieldDefinition] = KEY, **inject: Any) -> Placement:
    return resolve(_definition(InjectDefinition(**inject), fields=fields)).placements[0]


def _decide(definition: Definition, path: str, **headers: str) -> Decision:
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    made = make([undeclared(resolve(definition)), undeclared(resolve(definition), "team")], lambda _: True)
    return made.decide(Request(Host(HOST), HOST, (HOST,), "GET", path, sent))


# What goes where.


@pytest.mark.parametrize(
    ("inject", "target", "placed"),
    [
        ({"query": {"key": "{api_key}"}}, "/x", "/x?key=S%26%3D%20%23"),
        ({"query": {"key": "{api_key}"}}, "/x?a=1", "/x?a=1&key=S%26%3D%20%23"),
        ({"query": {"key": "{api_key}"}}, f"/x?key={PLACEHOLDER}&a=1", "/x?a=1&key=S%26%3D%20%23"),
        ({"query": {"key": "{api_key}"}}, "/x?key=mine&%6bey=other&a=&b", "/x?a=&b&key=S%26%3D%20%23"),
        ({"query": {"key": "{api_key}", "v": "1 {api_key}"}}, "/x?v=2", "/x?key=S%26%3D%20%23&v=1%20S%26%3D%20%23"),
        ({"query": {"key": "{api_key}"}, "also": AlsoDefinition(query=("k",))}, "/x?k=1", "/x?key=S%26%3D%20%23"),
        ({"value": "{api_key}", "also": AlsoDefinition(query=("k",))}, "/x?k=1&a=2", "/x?a=2"),
        # Names that one server or another takes for the credential's.
        ({"query": {"api_key": "{api_key}"}}, "/x?API_Key=mine&a=1;api_key=mine;b", "/x?a=1;b&api_key=S%26%3D%20%23"),
        ({"query": {"api_key": "{api_key}"}}, "/x?+api.key=a&api_key[]=b&api_key%00=c", "/x?api_key=S%26%3D%20%23"),
        ({"query": {"key": "{api_key}"}}, "/x?a=1&amp;key=mine&;&keys=1", "/x?a=1&amp&;&keys=1&key=S%26%3D%20%23"),
        ({"path": "/bot{api_key}/**"}, f"/bot{PLACEHOLDER}/getMe?a=1", "/botS&=%20%23/getMe?a=1"),
        ({"path": "/bot{api_key}/**"}, "/botmine/getMe", "/botS&=%20%23/getMe"),
        ({"path": "/bot{api_key}/**"}, "/file/botmine/getMe", "/file/botmine/getMe"),
        ({"path": "/{api_key}"}, "/", "/S&=%20%23"),
        ({"value": "{api_key}"}, f"/x?key={PLACEHOLDER}", f"/x?key={PLACEHOLDER}"),
    ],
)
def test_a_secret_stands_in_its_place_and_ends_in_no_other(inject: dict[str, Any], target: str, placed: str) -> None:
    assert _place(**inject).target(target, {"api_key": "S&= #"}) == placed


def test_several_headers_and_basic_are_filled_at_once() -> None:
    fields = {"account": FieldDefinition(secret=False), "api_key": SECRET, "app_key": SECRET}
    place = _place(fields, basic=BasicDefinition("{account}/token", "{api_key}"), headers={"X-App": "app {app_key}"})
    secrets = {"account": "me", "api_key": "k", "app_key": "a"}
    assert place.fields(secrets) == (("Authorization", "Basic bWUvdG9rZW46aw=="), ("X-App", "app a"))
    assert place.header_names == {"authorization", "x-app"}


_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
_PAIRS = st.lists(st.tuples(st.sampled_from(["a", "b", "key", "token"]), _TEXT), max_size=6)


@given(_TEXT, _PAIRS)
def test_any_key_arrives_as_it_is_and_every_other_parameter_stays(key: str, pairs: list[tuple[str, str]]) -> None:
    target = "/x?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    placed = _place(query={"key": "{api_key}"}).target(target, {"api_key": key})
    assert "#" not in placed
    found = parse_qsl(urlsplit(f"https://{HOST}{placed}").query, keep_blank_values=True)
    assert found == [*((name, value) for name, value in pairs if name != "key"), ("key", key)]


@given(_TEXT, st.lists(st.from_regex(r"[a-z]{0,4}", fullmatch=True), min_size=1, max_size=3))
def test_any_key_stays_in_its_segment(key: str, rest: list[str]) -> None:
    placed = _place(path="/bot{api_key}/**").target(f"/botx/{'/'.join(rest)}", {"api_key": key})
    parts = placed.split("/")
    assert "?" not in placed
    assert (unquote(parts[1]), parts[2:]) == (f"bot{key}", rest)


# Which connection, and what is misplaced.


@pytest.mark.parametrize(
    ("inject", "path"),
    [
        ({"query": {"key": "{api_key}"}}, "/x?key={}"),
        ({"query": {"key": "{api_key}"}}, "/x?a=1&ke%79={}"),
        ({"query": {"key": "{api_key}"}, "also": AlsoDefinition(query=("api_key",))}, "/x?api_key={}"),
        ({"path": "/bot{api_key}/**"}, "/bot{}/getMe"),
    ],
)
def test_the_placeholder_names_its_connection_where_the_credential_belongs(inject: dict[str, Any], path: str) -> None:
    definition = _definition(InjectDefinition(**inject))
    for connection, held in (("default", PLACEHOLDER), ("team", f"{PLACEHOLDER}-team")):
        decision = _decide(definition, path.replace("{}", held))
        assert isinstance(decision, Inject), decision
        assert decision.rule.connection == connection
    refused = _decide(definition, path.replace("{}", f"{PLACEHOLDER}-none"))
    assert isinstance(refused, Refusal)
    assert refused.error == "no_such_connection"


@pytest.mark.parametrize(
    ("inject", "path", "headers"),
    [
        ({"query": {"key": "{api_key}"}}, "/{}?key=x", {}),
        ({"query": {"key": "{api_key}"}}, "/x?other={}", {}),
        ({"query": {"key": "{api_key}"}}, "/x?{}=key", {}),
        ({"query": {"key": "{api_key}"}}, "/x", {"x_key": "{}"}),
        ({"path": "/bot{api_key}/**"}, "/bot{}/get{}", {}),
        ({"path": "/bot{api_key}/**"}, "/x/bot{}/getMe", {}),
        ({"path": "/bot{api_key}/**"}, "/bot{}/../getMe", {}),
        ({"value": "{api_key}"}, "/x?key={}", {}),
    ],
)
def test_a_placeholder_anywhere_else_does_not_leave(inject: dict[str, Any], path: str, headers: dict[str, str]) -> None:
    sent = {name: value.replace("{}", PLACEHOLDER) for name, value in headers.items()}
    decision = _decide(_definition(InjectDefinition(**inject)), path.replace("{}", PLACEHOLDER), **sent)
    assert isinstance(decision, Refusal), decision
    assert decision.error == "placeholder_misplaced"


def test_two_placeholders_in_one_request_are_ambiguous() -> None:
    definition = _definition(InjectDefinition(value="{api_key}", query={"key": "{api_key}"}))
    decision = _decide(definition, f"/x?key={PLACEHOLDER}-team", authorization=PLACEHOLDER)
    assert isinstance(decision, Refusal)
    assert decision.error == "ambiguous_connection"


def test_a_path_that_the_secret_is_not_in_goes_without_one() -> None:
    assert isinstance(_decide(_definition(InjectDefinition(path="/bot{api_key}/**")), "/robots.txt"), Pass)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/v4/projects/group%2Fproject",
            "/api/v4/files/lib%2fkey%2Erb/raw",
            "/api/a%2F.b",
            "/group/a.git/info/refs",
        ),
        "/group%2Fsub/a.git/info/refs",
    ],
)
def test_an_escaped_slash_in_a_name_is_no_trick_where_each_reading_is_served(path: str) -> None:
    scoped = InjectDefinition(value="{api_key}", paths=("/api/**", "/**.git/info/refs"))
    assert isinstance(_decide(_definition(scoped), path), Inject)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/..%2fpage",
            "/api/%2e%2e/page",
            "/api/%2E%2e%2Fpage",
            "/api/a%2f..%2f..%2fpage",
            "/api%2fx",
            "/%2fapi/x",
        ),
        *(
            "/api/a%2f/x",
            "/api/%252e%252e/page",
            "/api/.%2e/page",
            "/page%2f..%2fapi/x",
            "/a%2f../api/x",
            "/x/a%2egit/info",
        ),
        *("/one/two%2Fthree/fixed", "/one%2Ftwo/three/fixed", "/api/a%3b/x", "/api/a%00", "/api/%2f"),
    ],
)
def test_a_path_with_a_reading_that_is_not_served_goes_without_a_secret(path: str) -> None:
    scoped = InjectDefinition(value="{api_key}", paths=("/api/**", "/*/*/fixed", "/x/**.git/info"))
    assert isinstance(_decide(_definition(scoped), path), Pass)


@pytest.mark.parametrize("path", ["//botmine/getMe", "/x/../botmine/getMe", "/%62otmine/getMe", "/botmine%2fgetMe"])
def test_a_key_of_ones_own_in_a_path_that_is_spelled_strangely_does_not_leave(path: str) -> None:
    decision = _decide(_definition(InjectDefinition(path="/bot{api_key}/**")), path)
    assert isinstance(decision, Refusal), decision
    assert decision.error == "not_allowed"


@pytest.mark.parametrize("path", ["/api%2fx", "/api/%2e%2e/page", "/y/..//api/x", "/%61pi/x"])
@pytest.mark.parametrize("header", ["authorization", "x_key"])
def test_nor_does_one_in_a_header_on_such_a_path(path: str, header: str) -> None:
    scoped = InjectDefinition(header="X-Key", value="{api_key}", paths=("/api/**",))
    assert isinstance(_decide(_definition(scoped), path, **{header: "mine"}), Refusal)
    assert isinstance(_decide(_definition(scoped), "/other", **{header: "mine"}), Pass)


def test_a_key_in_the_path_is_not_logged_whoever_put_it_there() -> None:
    made = make([undeclared(resolve(_definition(InjectDefinition(path="/bot{api_key}/**"))))], lambda _: True)
    assert made.shown(Host(HOST), "/botCANARY/getMe") == f"/bot{PLACEHOLDER}/getMe"
    assert made.shown(Host(HOST), f"/bot{PLACEHOLDER}-team/getMe") == f"/bot{PLACEHOLDER}-team/getMe"
    assert made.shown(Host("other.example"), "/botx/getMe") == "/botx/getMe"


def test_the_way_in_is_chosen_by_the_kind_of_key() -> None:
    bearer = InjectDefinition(value="Bearer {api_key}", when="oauth_.*")
    raw = InjectDefinition(header="X-Key", value="{api_key}")
    first, second = resolve(_definition(bearer, raw)).placements
    assert [first.suits({"api_key": key}) for key in ("oauth_1", "x oauth_1", "pk_1")] == [True, False, False]
    assert second.suits({"api_key": "pk_1"})
    assert first.when == ("api_key", re.compile("oauth_.*"))


@pytest.mark.parametrize(
    ("key", "sent", "left"),
    [
        ("oauth_CANARY", f"/x?key={PLACEHOLDER}&a=1", ("/x?a=1", "Bearer oauth_CANARY")),
        ("oauth_CANARY", "/x?a=1&&b", ("/x?a=1&&b", "Bearer oauth_CANARY")),
        ("CANARY", f"/x?key={PLACEHOLDER}&a=1", ("/x?a=1&key=CANARY", None)),
    ],
)
def test_nothing_stands_where_a_key_of_another_kind_would(key: str, sent: str, left: tuple[str, str | None]) -> None:
    bearer = InjectDefinition(value="Bearer {api_key}", when="oauth_.*")
    decision = _decide(_definition(bearer, InjectDefinition(query={"key": "{api_key}"})), sent, authorization="mine")
    assert isinstance(decision, Inject)
    fields = Fields([(b"Authorization", b"mine")])
    asked = Asked(b"GET", sent.encode(), (HOST.encode(),), fields, "1.1", bodiless=True)
    leaves = inject(asked, decision, Session({("acme", "default"): {"api_key": key}}))
    path, header = left
    assert leaves.path.decode() == path
    assert leaves.fields.all(b"authorization") == ([header.encode()] if header else [])


@pytest.mark.parametrize("target", [f"/x?key={PLACEHOLDER}&a=1", "/x?key=mine&a=1"])
def test_what_is_for_keys_of_another_kind_is_taken_out_as_well(target: str) -> None:
    query = InjectDefinition(query={"key": "{api_key}"}, when="old_.*")
    sent = _sent(_definition(query, InjectDefinition(value="{api_key}")), target)
    assert (sent.path, sent.fields.all(b"authorization")) == (b"/x?a=1", [b"pk_1"])


def test_a_setting_with_any_letter_arrives() -> None:
    fields = {"city": FieldDefinition(secret=False), "api_key": SECRET}
    definition = _definition(InjectDefinition(headers={"X-City": "{city} {api_key}"}), fields=fields)
    decision = _decide(definition, "/x")
    assert isinstance(decision, Inject), decision
    session = Session({("acme", "default"): {"api_key": "k"}}, {("acme", "default"): {"city": "Łódź"}})
    asked = Asked(b"GET", b"/x", (HOST.encode(),), Fields(), "1.1", bodiless=True)
    assert inject(asked, decision, session).fields.all(b"x-city") == ["Łódź k".encode()]


def test_a_placeholder_in_a_path_for_keys_of_another_kind_does_not_leave() -> None:
    path = InjectDefinition(path="/bot{api_key}/**", when="old_.*")
    definition = _definition(path, InjectDefinition(value="{api_key}"))
    with pytest.raises(RefusedError) as refused:
        _sent(definition, f"/bot{PLACEHOLDER}/getMe")
    assert refused.value.refusal.error == "key_unfit"


def _sent(definition: Definition, target: str) -> Asked:
    """Return the request as it leaves with the key `pk_1`."""
    decision = _decide(definition, target)
    assert isinstance(decision, Inject), decision
    asked = Asked(b"GET", target.encode(), (HOST.encode(),), Fields(), "1.1", bodiless=True)
    return inject(asked, decision, Session({("acme", "default"): {"api_key": "pk_1"}}))


@pytest.mark.parametrize("target", ["/x?a=1#b", "/x#", "*"])
def test_a_key_for_the_query_does_not_end_in_a_fragment(target: str) -> None:
    decision = _decide(_definition(InjectDefinition(query={"key": "{api_key}"})), target)
    assert isinstance(decision, Refusal)
    assert decision.error == "malformed_request"


# What does not load.

_BASIC = BasicDefinition("u", "{api_key}")


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (InjectDefinition, "give `value`"),
        (lambda: InjectDefinition(value="x", basic=_BASIC), "either `value` or `basic`"),
        (lambda: InjectDefinition(path="/{api_key}", paths=("/x",)), "either `path` or `paths`"),
        (lambda: FieldDefinition(secret=False, default="x\ny"), "holds a control character"),
        (lambda: FieldDefinition(default="x"), "a secret has no `default`"),
        (lambda: Definition("acme", HOST), "`api_key` is missing, or `fields`"),
        (lambda: Definition("acme", HOST, fields=dict(KEY)), "`inject` is missing"),
        (lambda: _place(value="constant"), "sends no secret"),
        (lambda: _place({"a": FieldDefinition(secret=False), "b": SECRET}, value="{a}"), "sends no secret"),
        (lambda: _place({"a": FieldDefinition(secret=False)}, value="{a}"), "none of the `fields` is a secret"),
        (lambda: _place({"A-b": SECRET}, value="x"), "not the name of a field"),
        (lambda: _place(value="{api_key}", headers={"authorization": "{api_key}"}), "fills one header twice"),
        (lambda: _place(headers={"Host": "{api_key}"}), "belongs to the connection"),
        (lambda: _place(headers={"X": "a\nb{api_key}"}), "not a header value"),
        (lambda: _place(basic=BasicDefinition("a:b", "{api_key}")), "holds no colon"),
        (lambda: _place(query={"a=b": "{api_key}"}), "not the name of a query parameter"),
        (lambda: _place(query={"a": "{other}"}), "is not a field"),
        (lambda: _place(path="bot{api_key}"), "starts with `/`"),
        (lambda: _place(path="/{api_key}/{api_key}"), "holds each field once"),
        (lambda: _place(path="/x?key={api_key}"), "and no query"),
        (lambda: _place(path="/x"), "sends no secret"),
        (lambda: _place(value="{api_key}", when="("), "not a regular expression"),
        (lambda: _place(value="{api_key}", also=AlsoDefinition(headers=("Host",))), "belongs to the connection"),
        (
            lambda: _place(
                {"api_key": SECRET, "s": FieldDefinition(secret=False, pattern="[a-z]+", default="1")},
                value="{api_key}",
            ),
            "does not match its own pattern",
        ),
    ],
)
def test_what_could_not_be_sent_or_read_in_one_way_does_not_load(make_it: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make_it()
