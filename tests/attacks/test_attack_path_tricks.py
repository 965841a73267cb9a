"""A path that `allow` and the upstream could read differently: refused, before anything leaves."""

from collections.abc import Iterator

import pytest

import stage as stages
from stage import Stage

pytest_plugins = ["stage_fixtures"]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    lines = ("GET /repos/**", "GET /exact", "GET /teams/*/members")
    with stages.stage(tmp_path_factory.mktemp("outside"), *lines) as made:
        yield made


def _refused(stage: Stage, protocol: str, method: str, path: str) -> None:
    answer = stage.ask(protocol, method, path)
    assert (answer.status, answer.error) in ((403, "not_allowed"), (400, "malformed_request")), answer
    assert stage.origin.carried == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/repos/../user",
            "/repos/%2e%2e/user",
            "/repos/%2E./user",
            "/repos/.%2e/user",
            "/repos/..",
            "/repos/x/../../user",
        ),
        *("//user", "/repos//user", "//evil.example/repos/x", "/repos/./x", "/repos/x/."),
        *("/repos/..;/user", "/repos/x;/../user", "/exact;x", "/repos/%3b/x"),
        *("/repos/%2f..%2fuser", "/repos%2fx", "/repos/x%2F..%2F..%2Fuser"),
        *("/repos/..\\user", "/repos\\..\\user", "/repos/%5c..%5cuser", "/\\user"),
        *("/exact.", "/exact/", "/Exact", "/EXACT", "/REPOS/x", "/repos", "/repos.", "/exact%20", "/exact%00"),
        *("/repos/x#/../../user", "/exact#x", "/exact%23", "/exact%3fx", "/user?/repos/x", "/user?x=/exact"),
        *("/repos/%252e%252e/user", "/repos/%00/../user", "/%72epos/x/../y", "/teams/a/b/members", "/teams//members"),
    ],
)
def test_a_path_that_the_upstream_could_read_as_another_is_refused(stage: Stage, protocol: str, path: str) -> None:
    _refused(stage, protocol, "GET", path)


@pytest.mark.parametrize("path", ["", "*", "exact", "?x", "/exact\tHTTP/1.1", "/repos/\tx", "/repos/\x7f", "/repos/\0"])
def test_a_target_that_is_no_path_is_refused(stage: Stage, protocol: str, path: str) -> None:
    answer = stage.ask(protocol, path=path)
    assert answer.status in {400, 403, None}
    assert stage.origin.carried == []


@pytest.mark.parametrize("path", ["/teams/%3f/members", "/teams/x%3f/members", "/teams/x%23/members"])
def test_an_escaped_end_of_a_path_is_refused(stage: Stage, protocol: str, path: str) -> None:
    """As servers did that decode a path before they rewrite it (CVE-2024-38474)."""
    _refused(stage, protocol, "GET", path)


@pytest.mark.parametrize(
    "path", ["/repos/%c0%ae%c0%ae/user", "/repos/%c0%af..%c0%afuser", "/repos/%e0%80%ae%e0%80%ae/user"]
)
def test_an_overlong_dot_or_slash_is_refused(stage: Stage, protocol: str, path: str) -> None:
    """RFC 3629, 10: they are not UTF-8, and old servers read them."""
    _refused(stage, protocol, "GET", path)


@pytest.mark.parametrize("method", ["POST", "DELETE", "get", "Get", "GETX", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_refused(stage: Stage, protocol: str, method: str) -> None:
    _refused(stage, protocol, method, "/exact")


def test_a_request_behind_a_permitted_one_is_judged_for_itself(stage: Stage) -> None:
    rest = f" HTTP/1.1\r\nHost: {stage.host}\r\n\r\n"
    with stage.open() as connection:
        octets = "".join(line + rest for line in ("GET /exact", "DELETE /exact", "GET /user", "GET /exact"))
        assert connection.ask_octets(octets.encode()).status == 200
        connection.opened.settimeout(0.3)
        connection.ask_octets(b"")
    assert {(arrived.method, arrived.path) for arrived in stage.origin.arrived} == {(b"GET", b"/exact")}
    assert len(stage.origin.arrived) <= 2


def test_a_head_is_not_a_get(stage: Stage, protocol: str) -> None:
    answer = stage.ask(protocol, "HEAD", "/exact")
    assert (answer.status, answer.body, answer.values(b"x-authsome-error")) == (403, b"", [b"not_allowed"])
    assert stage.origin.carried == []


@pytest.mark.parametrize(
    "path", ["/exact", "/exact?x=/../user", "/repos/a", "/repos/a/b%20c", "/repos/", "/teams/a/members?x#"]
)
def test_what_allow_names_passes_as_it_is(stage: Stage, protocol: str, path: str) -> None:
    """The control."""
    assert stage.ask(protocol, path=path).status == 200
    assert stage.injected().path == path.encode()
