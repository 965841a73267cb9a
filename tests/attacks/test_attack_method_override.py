"""A request that asks the upstream to take it for another method or path: refused where `allow` restricts them."""

from collections.abc import Iterator

import pytest

import stage as stages
from stage import HELD, Stage

pytest_plugins = ["stage_fixtures"]

NAMES = (
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "X-Forwarded-Method"),
    *(
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-URI",
        "X-Forwarded-URI",
        "X_HTTP_Method_Override",
        "x-http_method-override",
    ),
)
QUERIES = (
    *(
        "_method=DELETE",
        "_METHOD=delete",
        "a=b&_method=DELETE",
        "a=b;_method=DELETE",
        "%5fmethod=DELETE",
        "_method[]=PUT",
    ),
    *("_HttpMethod=DELETE", "X-HTTP-Method-Override=DELETE", ".method=DELETE", "+_method=DELETE", "method=DELETE"),
)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside"), "GET /repos/**", "POST /repos/**") as made:
        yield made


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", NAMES)
def test_an_override_in_a_header_is_refused(stage: Stage, protocol: str, name: str, method: str) -> None:
    value = b"/user" if "ur" in name.lower() else b"DELETE"
    answer = stage.ask(protocol, method, "/repos/a", (*HELD, (name.encode(), value)))
    assert (answer.status, answer.error) == (403, "not_allowed")
    assert name.lower() in answer.body.decode()
    assert stage.origin.carried == []


@pytest.mark.parametrize("query", QUERIES)
def test_an_override_in_the_query_is_refused(stage: Stage, protocol: str, query: str) -> None:
    answer = stage.ask(protocol, "POST", f"/repos/a?{query}")
    assert (answer.status, answer.error) == (403, "not_allowed")
    assert stage.origin.carried == []


def test_words_that_override_nothing_pass(stage: Stage, protocol: str) -> None:
    """The control."""
    answer = stage.ask(protocol, "POST", "/repos/a?method=flickr.photos&q=_method", (*HELD, (b"X-Method", b"a")))
    assert answer.status == 200
    stage.injected()
