from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from authsome import rules
from authsome.manifest import Allowed, Declared, undeclared
from authsome.provider import Catalogue, Host, Placement
from authsome.rules import Inject, Pass, Refusal, Request
from sweep import examples

CATALOGUE = Catalogue(Path("nowhere"))
OPENAI = undeclared(CATALOGUE.get("openai"))
TEAM = replace(OPENAI, connection="team")
GITHUB = undeclared(CATALOGUE.get("github"))
ANTHROPIC = undeclared(CATALOGUE.get("anthropic"))
HOST = "api.openai.com"


def _rules(*declared: Declared) -> rules.Rules:
    return rules.make(declared, lambda _: True)


def _request(host: str = HOST, method: str = "GET", path: str = "/v1/models", **headers: str) -> Request:
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request(Host(host), host, (host,), method, path, sent)


def _refusal(decision: rules.Decision) -> Refusal:
    assert isinstance(decision, Refusal), decision
    return decision


def _injected(decision: rules.Decision) -> Inject:
    assert isinstance(decision, Inject), decision
    return decision


def test_a_request_to_a_declared_host_gets_its_connection() -> None:
    decision = _injected(_rules(OPENAI).decide(_request()))
    assert (decision.rule.name, decision.placements[0].place) == ("openai", "the header `Authorization`")


@pytest.mark.parametrize(
    "authority", ["evil.example", f"{HOST}.evil.example", f"{HOST}.", f"{HOST}:8443", f"x.{HOST}", "", "[::1]:443"]
)
def test_another_host_than_that_of_the_connection_is_refused(authority: str) -> None:
    decision = _refusal(_rules(OPENAI).decide(replace(_request(), authority=(authority,))))
    assert (decision.error, decision.status) == ("host_mismatch", 421)


@pytest.mark.parametrize("authority", [HOST, HOST.upper(), f"{HOST}:443"])
def test_the_same_host_may_be_written_in_other_ways(authority: str) -> None:
    _injected(_rules(OPENAI).decide(replace(_request(), authority=(authority,))))


@pytest.mark.parametrize(
    "request_",
    [
        *(_request(x_a=f"a{char}b") for char in ("\r", "\n", "\0", "\r\n ", "\x7f", "\x0b")),
        *(_request(method=text) for text in ("", "GET /x", "GET\t", "G\rET", "GET https://evil.example/?")),
        *(
            _request(path=text)
            for text in ("", "*", "x", "https://evil.example/x", "/a b", "/a\tb", "/a HTTP/1.1\r\nX: y")
        ),
        _request(path="/\x7f"),
    ],
)
def test_what_an_upstream_could_read_as_another_request_is_refused(request_: Request) -> None:
    decision = _refusal(_rules(OPENAI).decide(request_))
    assert (decision.error, decision.status) == ("malformed_request", 400)


def test_options_may_ask_about_the_whole_server() -> None:
    _injected(_rules(OPENAI).decide(_request(method="OPTIONS", path="*")))


def test_no_host_or_two_are_refused() -> None:
    for authority in ((), (HOST, HOST)):
        assert _refusal(_rules(OPENAI).decide(replace(_request(), authority=authority))).error == "host_mismatch"


@pytest.mark.parametrize("sni", ["evil.example", None, f"{HOST}."])
def test_another_name_in_the_tls_hello_is_refused(sni: str | None) -> None:
    assert _refusal(_rules(OPENAI).decide(replace(_request(), sni=sni))).error == "host_mismatch"


@pytest.mark.parametrize("name", [f"evil-{HOST}", f"{HOST}.evil.example", f"{HOST}.", "аpi.openai.com"])
def test_a_look_alike_is_not_a_declared_host(name: str) -> None:
    made = _rules(OPENAI)
    assert made.decrypts(Host(HOST))
    assert not made.decrypts(Host(name))
    assert not made.decrypts(Host(HOST, 8443))


@pytest.mark.parametrize(
    "value",
    [
        "Bearer authsome-proxy-managed-team",
        "authsome-proxy-managed-team",
        "Basic " + b64encode(b"user:authsome-proxy-managed-team").decode(),
    ],
)
def test_the_placeholder_names_the_connection(value: str) -> None:
    made = _rules(OPENAI, TEAM)
    assert _injected(made.decide(_request(authorization=value))).rule.name == "openai/team"
    assert _injected(made.decide(_request(authorization="Bearer sk-somebody-elses"))).rule.name == "openai"
    assert _injected(made.decide(_request())).rule.name == "openai"


def test_a_connection_that_the_run_does_not_have_is_refused() -> None:
    decision = _refusal(_rules(OPENAI).decide(_request(authorization="Bearer authsome-proxy-managed-prod")))
    assert (decision.error, decision.connection) == ("no_such_connection", "openai/prod")


def test_two_connections_in_one_request_are_refused() -> None:
    made = _rules(ANTHROPIC, replace(ANTHROPIC, connection="b"))
    asked = _request("api.anthropic.com", x_api_key="authsome-proxy-managed", authorization="authsome-proxy-managed-b")
    assert _refusal(made.decide(asked)).error == "ambiguous_connection"


def test_an_only_connection_serves_without_being_named() -> None:
    assert _injected(_rules(TEAM).decide(_request())).rule.name == "openai/team"


def test_another_credential_header_of_the_client_is_dropped() -> None:
    decision = _injected(_rules(ANTHROPIC).decide(_request("api.anthropic.com", authorization="Bearer mine")))
    assert decision.drop == {"authorization", "x-api-key"}


def test_a_header_that_a_cgi_upstream_reads_as_the_credential_is_dropped() -> None:
    sent = (("x_api_key", "mine"), ("x_other", "kept"))
    decision = _injected(_rules(ANTHROPIC).decide(replace(_request("api.anthropic.com"), headers=sent)))
    assert decision.drop == {"authorization", "x-api-key", "x_api_key"}


@pytest.mark.parametrize("name", ["content_length", "transfer_encoding"])
def test_a_header_that_a_cgi_upstream_reads_as_a_length_is_refused(name: str) -> None:
    decision = _refusal(_rules(OPENAI).decide(replace(_request(), headers=((name, "3"),))))
    assert decision.error == "malformed_request"


@pytest.mark.parametrize(
    "request_",
    [
        _request(path="/v1/models?key=authsome-proxy-managed"),
        _request(path="/v1/authsome%2Dproxy%2Dmanaged"),
        _request(cookie="key=authsome-proxy-managed"),
        _request(referer="https://x.example/?k=authsome-proxy-managed"),
        _request(x_key="Basic " + b64encode(b"u:authsome-proxy-managed").decode()),
    ],
)
def test_a_placeholder_never_leaves(request_: Request) -> None:
    assert _refusal(_rules(OPENAI).decide(request_)).error == "placeholder_misplaced"


def test_a_path_that_the_definition_does_not_name_goes_without_a_secret() -> None:
    made = _rules(GITHUB)
    assert isinstance(made.decide(_request("github.com", path="/acme/widgets")), Pass)
    git = _injected(made.decide(_request("github.com", path="/acme/w.git/info/refs?service=git-upload-pack")))
    assert isinstance(git.placements[0].headers[0][1], tuple)
    assert isinstance(made.decide(_request("github.com", path="/acme/x/../info/refs")), Pass)
    asked = _request("github.com", path="/acme/widgets", authorization="Bearer authsome-proxy-managed")
    assert _refusal(made.decide(asked)).error == "placeholder_misplaced"


def _allowing(*lines: str) -> rules.Rules:
    return _rules(replace(GITHUB, allow=tuple(Allowed.parse(line) for line in lines)))


@pytest.mark.parametrize(
    ("method", "path", "fits"),
    [
        ("GET", "/repos/a/b", True),
        ("GET", "/repos/a/b?x=/../..", True),
        ("POST", "/repos/a/issues", True),
        ("POST", "/repos/a/b/issues", False),
        ("DELETE", "/repos/a", False),
        ("GET", "/user", False),
        ("GET", "/REPOS/a", False),
        ("get", "/repos/a", False),
    ],
)
def test_allow_is_method_and_path(method: str, path: str, fits: bool) -> None:
    decision = _allowing("GET /repos/**", "POST /repos/*/issues").decide(_request("api.github.com", method, path))
    assert isinstance(decision, Inject) is fits
    if not fits:
        assert _refusal(decision).error == "not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        *("/repos/../user", "/repos/%2e%2e/user", "/repos/%2E%2E/user", "//user", "/repos//x", "/repos/./x"),
        *("/repos/..;/user", "/repos/x%2f..%2fuser", "/repos\\..\\user", "/repos/x#y", "/repos/a%00", "/repos/%252e"),
    ],
)
def test_a_path_that_could_mean_another_upstream_is_refused(path: str) -> None:
    assert _refusal(_allowing("GET /repos/**").decide(_request("api.github.com", path=path))).error == "not_allowed"


@pytest.mark.parametrize(
    "name", ["x-http-method-override", "x_http_method_override", "x-original-url", "x-forwarded-uri"]
)
def test_a_method_override_is_refused_where_methods_are_restricted(name: str) -> None:
    asked = replace(_request("api.github.com", path="/repos/a"), headers=((name, "DELETE"),))
    assert _refusal(_allowing("GET /repos/**").decide(asked)).error == "not_allowed"


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        *(
            (f"{name}=DELETE", False)
            for name in ("_method", "_Method", "%5Fmethod", "+_method", ".method", "_method[]")
        ),
        *((f"{name}=PATCH", False) for name in ("_HttpMethod", "x-http-method-override", "X-HTTP-Method", "method")),
        *((query, False) for query in ("a=b&_method=DELETE", "a=b;_method=DELETE", "_method=PURGE", "method=delete")),
        *((query, True) for query in ("method=flickr.photos", "a=_method", "_method=get", "methods=DELETE", "")),
    ],
)
def test_a_method_in_the_query_is_refused_where_methods_are_restricted(query: str, fits: bool) -> None:
    asked = _request("api.github.com", path=f"/repos/a?{query}")
    decision = _allowing("GET /repos/**").decide(asked)
    assert isinstance(decision, Inject) is fits
    assert isinstance(_rules(GITHUB).decide(asked), Inject)


def test_a_decision_names_the_line_that_permits_it() -> None:
    made = _allowing("GET /repos/**", "POST /repos/*/issues")
    decision = _injected(made.decide(_request("api.github.com", "POST", "/repos/a/issues")))
    assert str(decision.permitted) == "POST /repos/*/issues"
    assert _injected(_rules(OPENAI).decide(_request())).permitted is None


def test_a_declared_host_is_refused_in_the_clear_on_every_port() -> None:
    for port in (80, 443, 8080):
        refusal = _rules(OPENAI).refuses_plain(Host(HOST, port))
        assert refusal
        assert refusal.error == "not_encrypted"
    assert _rules(OPENAI).refuses_plain(Host("other.example", 80)) is None


def test_an_empty_allow_permits_nothing() -> None:
    assert _refusal(_allowing().decide(_request("api.github.com"))).error == "not_allowed"


def test_an_optional_connection_nobody_logged_in_says_so() -> None:
    made = rules.make([OPENAI], lambda _: False)
    decision = _refusal(made.decide(_request()))
    assert (decision.error, decision.hint) == ("not_connected", "authsome login openai")


def test_closed_egress_names_the_line_to_add() -> None:
    made = rules.make([OPENAI], lambda _: True, open_egress=False, egress=[Host("pypi.example")])
    assert made.refuses(Host("pypi.example")) is None
    refusal = made.refuses(Host("other.example"))
    assert refusal
    assert refusal.error == "egress_denied"
    assert "`other.example` to `egress.allow`" in (refusal.hint or "")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_no_request_is_more_than_a_decision(path: str, value: str, authority: str, method: str) -> None:
    asked = Request(Host(HOST), HOST, (authority,), method, path, (("authorization", value),))
    decision = _allowing("GET /**").decide(asked)
    assert isinstance(decision, Refusal)
    _rules(OPENAI).decide(replace(asked, authority=(HOST,)))


@given(st.text(alphabet="/ab.%2eEfF;\\#?*", max_size=30))
def test_what_allow_lets_through_is_below_it_also_for_a_server_that_resolves_dots(path: str) -> None:
    import posixpath  # noqa: PLC0415
    from urllib.parse import unquote  # noqa: PLC0415

    decision = _allowing("GET /a/**").decide(_request("api.github.com", path="/" + path))
    if isinstance(decision, Inject):
        seen = posixpath.normpath(unquote(("/" + path).partition("?")[0]))
        assert seen == "/a" or seen.startswith("/a/")


# Edits during a run.

_LINES = st.sampled_from(["GET /repos/**", "/repos/*", "POST /repos/*/issues", "* /**", "GET /user", "DELETE /x"])
_ALLOW = st.none() | st.lists(_LINES, max_size=3).map(lambda lines: tuple(map(Allowed.parse, lines)))
_HOSTS = ["api.github.com", "github.com", HOST, "api.anthropic.com", "pypi.example", "other.example"]


def _moved(declared: Declared, host: str) -> Declared:
    """Return a connection whose definition was edited to send its key to another host, in another header."""
    place = Placement((("X-Key", "{api_key}"),), frozenset({Host(host)}))
    return replace(declared, provider=replace(declared.provider, hosts=(Host(host),), placements=(place,)))


@st.composite
def _any_rules(draw: st.DrawFn) -> rules.Rules:
    chosen = draw(st.lists(st.sampled_from([GITHUB, OPENAI, TEAM, ANTHROPIC]), unique_by=lambda each: each.name))
    declared = [replace(each, allow=draw(_ALLOW)) for each in chosen]
    moved = [_moved(each, draw(st.sampled_from(_HOSTS))) if draw(st.integers(0, 4)) == 0 else each for each in declared]
    held = {each.name for each in moved if draw(st.booleans())}
    egress = draw(st.frozensets(st.sampled_from(_HOSTS).map(Host)))
    return rules.make(moved, lambda each: each.name in held, open_egress=draw(st.booleans()), egress=egress)


_REQUESTS = st.builds(
    _request,
    st.sampled_from(_HOSTS),
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.sampled_from(
        ["/repos/a", "/repos/a/issues", "/user", "/x", "/repos/../x", "/acme/w.git/info/refs", "/v1/models"]
    ),
    authorization=st.sampled_from(["", "Bearer authsome-proxy-managed", "Bearer authsome-proxy-managed-team"]),
)


def _fate(made: rules.Rules, asked: Request) -> object:
    """Return what becomes of a request from the CONNECT on: a refusal, a tunnel, or where the secret goes."""
    if not made.decrypts(asked.target):
        return made.refuses(asked.target) or "tunnel"
    decision = made.decide(asked)
    if isinstance(decision, Inject):
        return decision.rule.name, decision.placements, decision.drop
    return decision if isinstance(decision, Refusal) else decision.rule.name


@settings(max_examples=examples(500))
@given(_any_rules(), _any_rules(), _REQUESTS)
def test_whatever_an_edit_says_what_was_refused_stays_refused_and_nothing_is_sent_elsewhere(
    start: rules.Rules, newest: rules.Rules, asked: Request
) -> None:
    made = rules.narrower(start, newest)
    fate = _fate(made, asked)
    assert isinstance(fate, Refusal) or fate == _fate(start, asked)
    assert made.hosts == start.hosts


@settings(max_examples=examples(500))
@given(_any_rules(), _any_rules(), _REQUESTS)
def test_an_edit_that_refuses_a_request_is_heeded(start: rules.Rules, newest: rules.Rules, asked: Request) -> None:
    theirs = _fate(newest, asked)
    lasting = ("not_allowed", "not_connected", "egress_denied")
    if isinstance(theirs, Refusal) and theirs.error in lasting:
        assert isinstance(_fate(rules.narrower(start, newest), asked), Refusal) or _sharing(start, newest, asked)


def _sharing(start: rules.Rules, newest: rules.Rules, asked: Request) -> bool:
    """Whether the two decide by different connections, so that the one's `allow` says nothing about the other's."""

    def at(made: rules.Rules) -> set[str]:
        return {rule.name for rule in made.rules if asked.target in rule.hosts}

    return at(start) != at(newest)


@given(_any_rules())
def test_an_edit_taken_back_is_as_if_it_had_never_been(start: rules.Rules) -> None:
    assert rules.narrower(start, start) == start


def test_a_line_of_allow_that_was_added_during_a_run_says_that_it_waits_for_the_next() -> None:
    made = rules.narrower(_allowing("GET /repos/**"), _allowing("GET /repos/**", "DELETE /repos/*"))
    refusal = _refusal(made.decide(_request("api.github.com", "DELETE", "/repos/a")))
    assert refusal.error == "restart_needed"
    _injected(made.decide(_request("api.github.com", path="/repos/a")))
    refusal = _refusal(made.decide(_request("api.github.com", "DELETE", "/user")))
    assert refusal.error == "not_allowed"


def test_a_connection_that_was_taken_out_keeps_its_hosts_refused_instead_of_tunnelled() -> None:
    made = rules.narrower(_rules(OPENAI, GITHUB), _rules(GITHUB))
    assert made.decrypts(Host(HOST))
    assert _refusal(made.decide(_request())).error == "not_declared"
    _injected(made.decide(_request("api.github.com")))


def test_a_host_that_was_declared_during_a_run_is_refused_until_the_next() -> None:
    made = rules.narrower(_rules(GITHUB), _rules(GITHUB, OPENAI))
    assert not made.decrypts(Host(HOST))
    refusal = made.refuses(Host(HOST))
    assert refusal
    assert refusal.error == "restart_needed"


@pytest.mark.parametrize(
    ("name", "value", "may"),
    [
        *(("x-checksum", "abc", True), ("server-timing", "a;dur=1", True), ("x-note", "authsome", True)),
        *(("authorization", "Bearer x", False), ("x-api-key", "x", False), ("x_api_key", "x", False)),
        *(("host", "evil.example", False), ("content-length", "3", False), ("transfer-encoding", "chunked", False)),
        *(("x-http-method-override", "DELETE", False), ("cookie", "a=b", False), ("proxy-authorization", "x", False)),
        *(("x-checksum", "authsome-proxy-managed", False), ("x-checksum", "a\rb", False), ("connection", "x", False)),
    ],
)
def test_what_decides_something_does_not_follow_a_body(name: str, value: str, *, may: bool) -> None:
    placement = Placement((("X-Api-Key", "{api_key}"),), frozenset({Host("api.example")}))
    assert rules.may_trail(rules.Rule("example", "default", (placement,)), name, value) is may
