"""What a run writes into the audit log, from the request to the line."""

import json

import pytest

from canary import sings
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

_ALL = """
curl -s -o /dev/null https://api.openai.com/v1/models?query=CANARY-not-logged
curl -s -o /dev/null -X POST --data-binary 12345 https://api.openai.com/upload
curl -s -o /dev/null -X DELETE https://api.openai.com/v1/models
curl -s -o /dev/null https://undeclared.example/
curl -s -o /dev/null http://api.openai.com/plain
curl -s -o /dev/null https://api.intercom.io/me
"""


def _log(setup: Setup) -> list[dict[str, object]]:
    done = setup.line("log", "--json")
    assert done.code == 0, done
    lines = json.loads(done.out)
    return next(value for value in lines.values() if isinstance(value, list))


def test_every_use_of_a_run_is_a_line_and_no_line_holds_a_secret(setup: Setup) -> None:
    setup.connect("openai", "intercom")
    setup.declare("  openai:", "    allow: [GET /**, POST /upload]", "  intercom:")
    ran = setup.run("sh", "-c", _ALL)
    assert ran.err == "", ran
    told = [(use["decision"], use["connection"], use["method"], use["path"], use["status"]) for use in _log(setup)]
    assert told == [
        ("inject", "openai", "GET", "/v1/models", 200),
        ("inject", "openai", "POST", "/upload", 200),
        ("not_allowed", "openai", "DELETE", "/v1/models", 403),
        ("tunnel", None, "CONNECT", "", 200),
        ("not_encrypted", None, "GET", "/plain", 403),
        ("upstream_untrusted", "intercom", "GET", "/me", 502),
    ]
    upload = _log(setup)[1]
    assert (upload["sent"], upload["received"]) == (5, len(json.dumps({"bytes": 5})))
    tunnel = _log(setup)[3]
    assert int(str(tunnel["sent"])) > 200  # a TLS hello at least
    assert int(str(tunnel["received"])) > 200
    assert not sings((setup.line.home / "audit" / "log.jsonl").read_bytes())
    assert setup.line("log", "--verify").code == 0


def test_a_client_that_is_still_there_is_named(setup: Setup) -> None:
    """One that has gone before the log looks is not; this one waits for the rest of what it uploads."""
    setup.connect("openai")
    setup.declare("  openai:")
    ran = setup.run("sh", "-c", "(printf 123; sleep 3) | curl -s -o /dev/null -T - https://api.openai.com/upload")
    assert ran.err == "", ran
    (upload,) = _log(setup)
    assert "curl" in json.dumps(upload["client"])


def test_a_run_can_say_afterwards_what_was_used(setup: Setup) -> None:
    setup.connect("openai")
    ran = setup.run("curl", "-s", "-o", "/dev/null", "https://api.openai.com/v1/models", options=("--summary",))
    assert "api.openai.com" in ran.err


def test_an_answer_that_is_broken_off_is_a_line_too(setup: Setup) -> None:
    setup.connect("openai")
    setup.run("curl", "-s", "-o", "/dev/null", "--max-time", "1", "https://api.openai.com/reflect/events?stream=x")
    (use,) = _log(setup)
    assert (use["decision"], use["status"]) == ("inject", 200)
