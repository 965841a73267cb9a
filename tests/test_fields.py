"""Connections of several values: some secret, some settings."""

import json
from typing import Any

import pytest

from conftest import EXECUTABLE, CommandLine, Done
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

ACCOUNT, TOKEN = "AC0123456789", "CANARY-token-0123456789"
PHONE: dict[str, Any] = {
    "name": "phone",
    "display_name": "Phone",
    "host_url": "api.phone.example",
    "fields": {
        "account_sid": {
            "label": "account SID",
            "secret": False,
            "pattern": "AC[0-9]+",
            "hint": "It starts with AC.",
            "env": "PHONE_ACCOUNT_SID",
        },
        "auth_token": {"label": "auth token", "env": ["PHONE_AUTH_TOKEN"]},
        "region": {"secret": False, "default": "us1", "env": "PHONE_REGION"},
    },
    "inject": [{"basic": {"username": "{account_sid}", "password": "{auth_token}"}}],
}
SHOW = "echo $PHONE_ACCOUNT_SID $PHONE_AUTH_TOKEN $PHONE_REGION"


@pytest.fixture
def phone(authsome: CommandLine) -> CommandLine:
    path = authsome.home / "providers" / "phone.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(PHONE))
    authsome.env = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    return authsome


def _login(line: CommandLine, **values: Any) -> Done:
    return line("login", "phone", "--stdin", "--force", given=json.dumps(values))


def test_settings_are_real_in_the_childs_environment_and_secrets_are_not(phone: CommandLine) -> None:
    assert _login(phone, account_sid=ACCOUNT, auth_token=TOKEN).code == 0
    assert phone("run", "--", "sh", "-c", SHOW).out == f"{ACCOUNT} authsome-proxy-managed us1\n"
    assert _login(phone, account_sid=ACCOUNT, auth_token=TOKEN, region="ie1").code == 0
    assert phone("run", "--", "sh", "-c", SHOW).out == f"{ACCOUNT} authsome-proxy-managed ie1\n"


def test_all_of_them_are_exported_and_shown(phone: CommandLine) -> None:
    _login(phone, account_sid=ACCOUNT, auth_token=TOKEN)
    exported = json.loads(phone("export", "phone", "--format", "json", reveals=True).out)
    assert exported == {"PHONE_ACCOUNT_SID": ACCOUNT, "PHONE_AUTH_TOKEN": TOKEN, "PHONE_REGION": "us1"}
    assert phone("get", "phone", "--field", "auth_token").out == "***\n"
    assert phone("get", "phone", "--field", "account_sid").out == f"{ACCOUNT}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (TOKEN, "Phone needs several values: account_sid, auth_token, region"),
        ("[]", 'Hint: pipe in a JSON object: {"account_sid": "…", "auth_token": "…"}\n'),
        ('{"account_sid": 7}', "Phone needs several values"),
        (
            '{"account_sid": "AC1", "auth_tokn": "x"}',
            "no field 'auth_tokn'\nHint: did you mean `auth_token`?",
        ),
        ('{"account_sid": "AC1"}', "the auth token is empty"),
        ('{"account_sid": "7", "auth_token": "x"}', "a valid Phone account SID.\nHint: It starts with AC."),
        ('{"account_sid": "AC1", "auth_token": "a b"}', "a valid Phone auth token."),
        ('{"account_sid": "AC1", "auth_token": "x", "region": "a\\nb"}', "a valid Phone region."),
    ],
)
def test_what_is_not_all_of_them_is_explained_and_nothing_is_stored(phone: CommandLine, given: str, said: str) -> None:
    done = phone("login", "phone", "--stdin", given=given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert phone("get", "phone").code == 3


def test_a_person_types_settings_in_the_open_and_may_leave_what_has_a_default(phone: CommandLine) -> None:
    person = Person([EXECUTABLE, "login", "phone", "--terminal"], phone.environ(), phone.project)
    assert person.sees("Phone account SID: "), person.screen
    person.types(f"{ACCOUNT}\n")
    assert person.sees("Phone auth token (input is hidden): "), person.screen
    person.types(f"{TOKEN}\n")
    assert person.sees("Phone region [us1]: "), person.screen
    person.types("\n")
    assert person.ends() == 0
    assert ACCOUNT in person.screen
    assert TOKEN not in person.screen
    assert phone("run", "--", "sh", "-c", SHOW).out == f"{ACCOUNT} authsome-proxy-managed us1\n"


def test_a_setting_that_no_longer_fits_needs_a_person_and_one_with_a_default_does_not(phone: CommandLine) -> None:
    _login(phone, account_sid=ACCOUNT, auth_token=TOKEN)
    path = phone.home / "providers" / "phone.json"
    phone.declare("version: 1\nproviders: {phone: }\n")
    more = PHONE["fields"] | {"edge": {"secret": False, "default": "e1", "env": "PHONE_EDGE"}}
    path.write_text(json.dumps(PHONE | {"fields": more}))
    assert phone("check").code == 0
    assert phone("run", "--", "sh", "-c", "echo $PHONE_EDGE").out == "e1\n"
    path.write_text(json.dumps(PHONE | {"fields": more | {"pin": {}}}))
    done = phone("check")
    assert (done.code, "missing (holds no pin)" in done.out) == (3, True)


def test_a_runner_is_told_to_hide_the_secrets_only(phone: CommandLine) -> None:
    _login(phone, account_sid=ACCOUNT, auth_token=TOKEN)
    target = phone.root / "github.env"
    target.touch()
    phone.env["GITHUB_ENV"] = str(target)
    done = phone("export", "--format", "github", reveals=True)
    assert done.code == 0, done
    assert f"::add-mask::{TOKEN}\n" in done.out
    assert ACCOUNT not in done.out
    written = target.read_text()
    target.unlink()
    assert ACCOUNT in written
    assert TOKEN in written


def test_no_definition_makes_a_setting_of_what_was_given_as_a_secret(phone: CommandLine) -> None:
    path = phone.home / "providers" / "phone.json"
    _login(phone, account_sid=ACCOUNT, auth_token=TOKEN)
    fields = PHONE["fields"]
    turned = {"auth_token": fields["auth_token"] | {"secret": False}, "account_sid": {"env": "PHONE_ACCOUNT_SID"}}
    path.write_text(json.dumps(PHONE | {"fields": {**turned, "region": fields["region"]}}))
    assert phone("run", "--", "sh", "-c", SHOW).out == "authsome-proxy-managed authsome-proxy-managed us1\n"
    assert phone("get", "phone", "--field", "auth_token").out == "***\n"


def test_a_fake_run_leaves_settings_in_answers_alone(phone: CommandLine) -> None:
    fake = phone.root / "answers.yaml"
    phone.declare("version: 1\nproviders: {phone: }\n")
    fake.write_text("version: 1\nanswers:\n  - {request: GET api.phone.example/, json: {region: us1}}\n")
    script = "curl -s https://api.phone.example/; echo $PHONE_REGION"
    done = phone("run", "--fake-from", str(fake), "--", "sh", "-c", script)
    assert done.out == '{"region": "us1"}us1\n', done
