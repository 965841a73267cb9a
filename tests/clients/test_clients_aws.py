"""boto3 as the agent: it signs with placeholders, and AWS sees signatures of the real keys."""

import json

import pytest

from awssign import ACCESS_KEY, SECRET_KEY
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

STAND_IN = "authsome-proxy-managed"


def test_boto3_uses_four_services_with_keys_it_does_not_hold(setup: Setup) -> None:
    setup.line.login("aws", json.dumps({"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}))
    setup.declare("  aws:")
    assert setup.agent("aws_calls").answer == {
        "got": "stored",
        "large": 10485767,
        "presigned": "by url",
        "account": "123456789012",
        "said": "arn:" + STAND_IN.ljust(len(SECRET_KEY), "*"),
        "refused": "gives_credentials",
        "item": {"asked": {"S": "7"}},
        "stream": ["3145728 ", "last"],
        "held": ["AKIAAUTHSOMED53KMONF", STAND_IN, None, "us-east-1"],
    }
    requests = setup.received()
    assert all(f"Credential={ACCESS_KEY}/" in value for each in requests for value in each.values("authorization"))
    presigned = [each.path for each in requests if not each.values("authorization")]
    assert len(presigned) == 2
    assert all(f"X-Amz-Credential={ACCESS_KEY}%2F" in path for path in presigned)
    stated = {value for each in requests for value in each.values("x-amz-content-sha256")}
    assert "STREAMING-UNSIGNED-PAYLOAD-TRAILER" in stated
