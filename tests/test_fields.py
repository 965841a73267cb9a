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
    assert person.sees("Phone region [us1]: "), person.screen
    person.types("authsome-proxy-managed\n")
    assert person.sees(f"Phone account SID [{ACCOUNT}]: "), person.screen
    person.types("\n")
    assert person.sees(f"[{ACCOUNT}]: \nPhone region [us1]: "), person.screen
    person.types("\n")
    assert person.sees("Phone auth token (input is hidden): "), person.screen
    person.types(f"{TOKEN}\n")
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


# A secret that not every account has.

ID, SECRET, SESSION = "AKIACANARY23456ABCDE", "CANARY+secret", "CANARY//token=="
CLOUD: dict[str, Any] = {
    "name": "cloud",
    "display_name": "Cloud",
    "host_url": "s3.us-east-1.amazonaws.com",
    "fields": {
        "id": {"env": "CLOUD_ID_KEY", "pattern": "(AKIA|ASIA).*"},
        "secret": {"env": "CLOUD_SECRET"},
        "session": {"env": "CLOUD_SESSION_TOKEN", "optional": True},
    },
    "inject": [{"sigv4": {"access_key": "{id}", "secret_key": "{secret}", "session_token": "{session}"}}],
}
HELD = "echo ${CLOUD_ID_KEY-none} ${CLOUD_SECRET-none} ${CLOUD_SESSION_TOKEN-none}"
STAND_IN = "authsome-proxy-managed"


@pytest.fixture
def cloud(authsome: CommandLine) -> CommandLine:
    path = authsome.home / "providers" / "cloud.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(CLOUD))
    authsome.env = {"HTTPS_PROXY": "http://127.0.0.1:9", "CLOUD_SESSION_TOKEN": "mine"}
    return authsome


def _give(line: CommandLine, **values: str) -> Done:
    return line("login", "cloud", "--stdin", "--force", given=json.dumps(values))


def test_a_secret_that_is_left_out_is_missing_nowhere_and_its_variable_is_not_set(cloud: CommandLine) -> None:
    cloud.declare("version: 1\nproviders: {cloud: }\n")
    for more in ({}, {"session": ""}, {"session": " \n"}):
        assert _give(cloud, id=ID, secret=SECRET, **more).code == 0
        assert cloud("check").code == 0
        assert cloud("run", "--", "sh", "-c", HELD).out == f"{STAND_IN} {STAND_IN} none\n"
        exported = json.loads(cloud("export", "cloud", "--format", "json", reveals=True).out)
        assert exported == {"CLOUD_ID_KEY": ID, "CLOUD_SECRET": SECRET}
    assert "session" not in cloud("get", "cloud", "--json", "--show-secret", reveals=True).out
    assert cloud("run", "--fake", "--", "sh", "-c", HELD).out == f"{STAND_IN} {STAND_IN} none\n"
    cloud.env["GITHUB_ENV"] = str(cloud.root / "github.env")
    (cloud.root / "github.env").touch()
    assert cloud("export", "--format", "github", reveals=True).code == 0
    (cloud.root / "github.env").unlink()


def test_a_secret_that_may_be_left_out_is_one_where_it_is_given(cloud: CommandLine) -> None:
    assert _give(cloud, id=ID, secret=SECRET, session=SESSION).code == 0
    assert cloud("run", "--", "sh", "-c", HELD).out == f"{STAND_IN} {STAND_IN} {STAND_IN}\n"
    exported = json.loads(cloud("export", "cloud", "--format", "json", reveals=True).out)
    assert exported["CLOUD_SESSION_TOKEN"] == SESSION
    assert _give(cloud, id=ID, secret=SECRET).code == 0
    assert cloud("run", "--", "sh", "-c", HELD).out == f"{STAND_IN} {STAND_IN} none\n"
    done = _give(cloud, id=ID)
    assert (done.code, "the secret is empty" in done.err) == (2, True)
    assert '{"id": "…", "secret": "…"}' in cloud("login", "cloud", "--stdin", "--force", given="x").err


def test_a_person_may_press_enter_for_a_secret_that_may_be_left_out(cloud: CommandLine) -> None:
    person = Person([EXECUTABLE, "login", "cloud", "--terminal"], cloud.environ(), cloud.project)
    assert person.sees("Cloud id (input is hidden): "), person.screen
    person.types(f"{ID}\n")
    assert person.sees("Cloud secret (input is hidden): "), person.screen
    person.types(f"{SECRET}\n")
    assert person.sees("Cloud session (input is hidden, nothing for none): "), person.screen
    person.types("\n")
    assert person.ends() == 0, person.screen
    assert cloud("run", "--", "sh", "-c", HELD).out == f"{STAND_IN} {STAND_IN} none\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fields": CLOUD["fields"] | {"id": {"optional": True}}}, "the first secret is the key"),
        ({"fields": CLOUD["fields"] | {"secret": {"optional": True}}}, "only the `session_token`"),
        ({"fields": CLOUD["fields"] | {"other": {"optional": True}}}, "only the `session_token`"),
        ({"fields": CLOUD["fields"] | {"region": {"optional": True, "secret": False}}}, "has a `default`"),
        (
            {"fields": CLOUD["fields"] | {"secret": {"secret": False}}},
            "`sigv4.secret_key` is one field that is a secret",
        ),
        ({"inject": [{"sigv4": {"access_key": "{id}", "secret_key": "{none}"}}]}, "`sigv4.secret_key` is one field"),
        ({"inject": [{"sigv4": {"access_key": "a{id}", "secret_key": "{secret}"}}]}, "`sigv4.access_key` is one field"),
        ({"inject": [{"sigv4": {"access_key": "{id}", "secret_key": "{id}"}}]}, "from a field of its own"),
        ({"inject": [{"sigv4": {"access_key": "{id}"}}]}, "secret_key"),
        ({"inject": [{"sigv4": {"access_key": "{id}", "secret_key": "{secret}"}}]}, "only the `session_token`"),
        ({"inject": [CLOUD["inject"][0] | {"value": "{id}"}]}, "nothing else goes into it"),
        ({"inject": [CLOUD["inject"][0] | {"headers": {"X-Key": "{id}"}}]}, "nothing else goes into it"),
        ({"inject": [CLOUD["inject"][0] | {"also": {"query": ["key"]}}]}, "nothing else goes into it"),
        ({"inject": [*CLOUD["inject"], {"value": "Bearer {session}"}]}, "only the `session_token`"),
    ],
)
def test_a_signature_of_what_is_no_secret_or_may_be_missing_is_no_definition(
    cloud: CommandLine, change: dict[str, Any], said: str
) -> None:
    (cloud.home / "providers" / "cloud.json").write_text(json.dumps(CLOUD | change))
    done = cloud("inspect", "cloud")
    assert (done.code, said in done.err) == (6, True), done.err


def test_it_is_said_that_requests_are_signed_and_what_may_be_left_out(cloud: CommandLine) -> None:
    definition = cloud.root / "cloud.json"
    (cloud.home / "providers" / "cloud.json").rename(definition)
    done = cloud("register", str(definition), "--yes")
    said = done.out + done.err
    assert "on every host, requests are signed as AWS has it with id, secret and session, where there is one" in said
    assert "session may be left out" in said
    assert _give(cloud, id=ID, secret=SECRET).code == 0
    told = cloud("why", "https://s3.us-east-1.amazonaws.com/bucket")
    assert "goes into a signature of AWS (Signature Version 4)" in told.out + told.err
