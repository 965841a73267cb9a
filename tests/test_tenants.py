"""Connections at services where each customer has an address of their own."""

import json
from typing import Any

import pytest

from conftest import EXECUTABLE, CommandLine, Done
from terminal import Person

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

TOKEN = "shpat_ca0a0123456789abcdefca0a01234567"
OTHER = "shpat_ca0a9876543210abcdefca0a98765432"
MAILCHIMP = "ca0a0123456789abcdefca0a01234567-us21"
QDRANT, CLUSTER = "CANARY-qdrant-0123456789", "xyz.eu-central-1-0.aws.cloud.qdrant.io"
SHOW = "echo $SHOPIFY_SHOP $SHOPIFY_ACCESS_TOKEN"
GITLAB = "glpat-CANARY0123456789CANARY"
NOBODY = {"HTTPS_PROXY": "http://127.0.0.1:9"}


@pytest.fixture
def shop(authsome: CommandLine) -> CommandLine:
    authsome.env = dict(NOBODY)
    return authsome


def _login(line: CommandLine, provider: str, *options: str, **values: Any) -> Done:
    return line("login", provider, "--stdin", "--force", *options, given=json.dumps(values))


@pytest.mark.parametrize("said", ["cats", "cats.myshopify.com", "https://Cats.myshopify.com/admin/apps?x=1"])
def test_a_login_takes_the_name_or_the_address_and_agrees_to_one_host(shop: CommandLine, said: str) -> None:
    done = _login(shop, "shopify", shop=said, api_key=TOKEN)
    assert (done.code, done.err) == (0, "The key may be sent to: cats.myshopify.com\n"), done
    assert json.loads(shop("get", "shopify", "--json").out)["hosts"] == ["cats.myshopify.com"]
    ran = shop("run", "--", "sh", "-c", SHOW)
    assert ran.out.lower() == "cats authsome-proxy-managed\n"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"shop": "cats.evil.example"}, "It is the first part of the shop's address"),
        ({"shop": "cats/.myshopify.com"}, "It is the first part of the shop's address"),
        ({"shop": "a" * 64}, "It is the first part of the shop's address"),
        ({"shop": "-cats"}, "It is the first part of the shop's address"),
        ({"shop": ""}, "the shop is empty"),
        ({"shop": "authsome-proxy-managed"}, "is what an agent holds instead of the key"),
    ],
)
def test_what_is_no_address_is_refused_and_nothing_is_stored(
    shop: CommandLine, values: dict[str, str], said: str
) -> None:
    done = _login(shop, "shopify", api_key=TOKEN, **values)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert shop("get", "shopify").code == 3


def test_a_person_says_the_address_first_and_sees_where_the_key_will_go(shop: CommandLine) -> None:
    person = Person([EXECUTABLE, "login", "shopify", "--terminal"], shop.environ(), shop.project)
    shops = "Shopify Admin API shop (for example acme-store)"
    token = "Shopify Admin API access token (input is hidden): "
    assert person.sees(f"{shops}: "), person.screen
    person.types("https://cats.evil.example\n")
    assert person.sees(f"SHOP.myshopify.com.\nGet a key: https://admin.shopify.com/\n{shops}: "), person.screen
    assert token not in person.screen
    person.types("cats\n")
    assert person.sees(f"It will be sent to: cats.myshopify.com\n{token}"), person.screen
    person.types("shpat_short\n")
    assert person.sees(f"{shops} [cats]: "), person.screen
    person.types("\n")
    assert person.sees(f"[cats]: \nIt will be sent to: cats.myshopify.com\n{token}"), person.screen
    person.types(f"{TOKEN}\n")
    assert person.sees("; it goes to cats.myshopify.com"), person.screen
    assert person.ends() == 0


def test_the_agent_finds_the_address_in_its_environment_and_so_does_an_export(shop: CommandLine) -> None:
    assert _login(shop, "qdrant", cluster_host=f"https://{CLUSTER}:6333", api_key=QDRANT).code == 0
    ran = shop("run", "--", "sh", "-c", "echo $QDRANT_URL $QDRANT_API_KEY")
    assert ran.out == f"https://{CLUSTER}:6333 authsome-proxy-managed\n"
    exported = json.loads(shop("export", "qdrant", "--format", "json", reveals=True).out)
    assert exported == {"QDRANT_URL": f"https://{CLUSTER}:6333", "QDRANT_API_KEY": QDRANT}
    hosts = json.loads(shop("get", "qdrant", "--json").out)["hosts"]
    assert hosts == [CLUSTER, f"{CLUSTER}:6333", f"{CLUSTER}:6334"]


def test_the_data_centre_in_a_key_is_read_and_the_stand_in_holds_it_too(shop: CommandLine) -> None:
    done = shop("login", "mailchimp", "--stdin", given=MAILCHIMP)
    assert (done.code, done.err) == (0, "The key may be sent to: us21.api.mailchimp.com\n")
    held = shop("run", "--", "sh", "-c", "echo $MAILCHIMP_API_KEY").out.strip()
    assert (len(held), held[-5:]) == (37, "-us21")
    assert shop("get", "mailchimp", "--field", "placeholder").out.strip() == held
    again = shop("login", "mailchimp", "--stdin", "--force", given=held)
    assert (again.code, "is what an agent holds instead of the key" in again.err) == (2, True)
    (shop.project / ".env").write_text(f"MAILCHIMP_API_KEY={held}\n")
    assert "already imported, this is the placeholder" in shop("import", "--dry-run").out


def test_an_import_finds_the_address_in_the_key(shop: CommandLine) -> None:
    path = shop.project / ".env"
    path.write_text(f"MAILCHIMP_API_KEY={MAILCHIMP}\n")
    done = shop("import", "--yes", "--replace")
    assert done.code == 0, done
    assert json.loads(shop("get", "mailchimp", "--json").out)["hosts"] == ["us21.api.mailchimp.com"]
    held = shop("run", "--", "sh", "-c", "echo $MAILCHIMP_API_KEY").out
    assert path.read_text() == f"MAILCHIMP_API_KEY={held}"


def test_two_accounts_of_one_service_have_two_addresses(shop: CommandLine) -> None:
    _login(shop, "shopify", shop="cats", api_key=TOKEN)
    _login(shop, "shopify", "--connection", "dogs", shop="dogs", api_key=OTHER)
    env = "{env: DOGS_TOKEN}"
    shop.declare(f"version: 1\nproviders: {{shopify: {{connections: {{default: , dogs: {env}}}}}}}\n")
    for name, connection in (("cats", "shopify"), ("dogs", "shopify/dogs")):
        done = shop("why", f"https://{name}.myshopify.com/admin/api/x.json", "--json")
        answer = json.loads(done.out)
        assert (done.code, answer["outcome"], answer["connection"]) == (0, "injected", connection)
    wrong = shop("why", "https://dogs.myshopify.com/admin/api/x.json", "--connection", "default", "--json")
    assert (wrong.code, json.loads(wrong.out)["refusal"]["error"]) == (8, "no_such_connection")


def test_an_account_that_is_not_logged_in_claims_no_host(shop: CommandLine) -> None:
    shop.declare("version: 1\nproviders: {shopify: {required: false}}\n")
    assert shop("check").code == 0
    answer = json.loads(shop("why", "https://cats.myshopify.com/admin/x", "--json").out)
    assert answer["outcome"] == "tunnelled"
    assert shop("run", "--", "sh", "-c", "echo ran").out == "ran\n"


def test_the_address_of_a_manifest_waits_for_trust_and_needs_a_key_of_its_own(shop: CommandLine) -> None:
    _login(shop, "shopify", shop="cats", api_key=TOKEN)
    shop.declare("version: 1\nproviders: {shopify: {base_url: https://dogs.myshopify.com}}\n")
    done = shop("check")
    assert (done.code, "`base_url`" in done.err) == (7, True), done
    assert shop("run", "--", "true").code == 125
    assert shop("trust", "--yes").code == 0
    checked = shop("check")
    assert checked.code == 3
    assert "hosts differ from those agreed to (new: dogs.myshopify.com)" in checked.out
    ran = shop("run", "--", "true")
    assert (ran.code, "authsome login shopify --force" in ran.err) == (125, True)
    stored = shop("login", "shopify", "--stdin", "--force", given=OTHER)
    assert (stored.code, stored.err) == (0, "The key may be sent to: dogs.myshopify.com\n")
    assert shop("run", "--", "sh", "-c", SHOW).out == "dogs authsome-proxy-managed\n"
    (shop.project / "authsome.yaml").unlink()
    assert shop("run", "--", "sh", "-c", SHOW).out == "dogs authsome-proxy-managed\n"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{base_url: https://dogs.evil.example}", "one looks like https://{shop}.myshopify.com"),
        ("{base_url: http://dogs.myshopify.com}", "one looks like https://{shop}.myshopify.com"),
        ("{base_url: ''}", "one looks like https://{shop}.myshopify.com"),
        ("{base_url: 7}", "base_url"),
    ],
)
def test_a_manifest_with_a_wrong_address_says_which_there_are(shop: CommandLine, entry: str, said: str) -> None:
    shop.declare(f"version: 1\nproviders:\n  shopify: {entry}\n")
    done = shop("check")
    assert (done.code, "authsome.yaml:3: " in done.err, said in done.err) == (6, True, True), done


def test_a_service_with_one_address_for_all_takes_none(shop: CommandLine) -> None:
    done = shop("login", "openai", "--stdin", "--base-url", "https://api.openai.com", given="x")
    assert (done.code, done.out) == (2, "")
    assert "OpenAI has the same address for all: api.openai.com" in done.err


def test_a_login_can_name_the_address_with_an_option(shop: CommandLine) -> None:
    done = shop("login", "gitlab", "--stdin", "--base-url", "https://git.acme.example", given=GITLAB)
    assert (done.code, done.err) == (0, "The key may be sent to: git.acme.example\n"), done
    again = shop("login", "gitlab", "--stdin", "--force", given=f"{GITLAB}2")
    assert (again.code, again.err) == (0, "The key may be sent to: git.acme.example\n")
    plain = shop("login", "gitlab", "--stdin", "--force", "--base-url", "https://gitlab.com", given=GITLAB)
    assert (plain.code, plain.err) == (0, "The key may be sent to: gitlab.com\n")


def test_a_new_key_is_for_the_address_of_the_one_that_it_replaces(shop: CommandLine) -> None:
    _login(shop, "shopify", shop="cats", api_key=TOKEN)
    done = shop("login", "shopify", "--stdin", "--force", given=OTHER)
    assert (done.code, done.err) == (0, "The key may be sent to: cats.myshopify.com\n")
    person = Person([EXECUTABLE, "login", "shopify", "--terminal", "--force"], shop.environ(), shop.project)
    assert person.sees("[cats]: "), person.screen
    person.types("\n")
    assert person.sees("It will be sent to: cats.myshopify.com"), person.screen
    assert person.sees("access token (input is hidden): "), person.screen
    person.types(f"{TOKEN}\n")
    assert person.ends() == 0


def test_two_services_that_come_to_have_one_host_are_not_run_together(shop: CommandLine) -> None:
    path = shop.home / "providers" / "mine.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "mine", "host_url": "cats.myshopify.com", "api_key": {"env_var": "MINE_KEY"}}')
    shop.declare("version: 1\nproviders: {mine: , shopify: }\n")
    shop.login("mine", "CANARY-mine-0123456789")
    _login(shop, "shopify", shop="cats", api_key=TOKEN)
    for command, code in ((("run", "--", "true"), 125), (("check",), 6), (("why", "https://cats.myshopify.com"), 6)):
        done = shop(*command)
        assert (done.code, "`mine` and `shopify` both claim cats.myshopify.com" in done.err) == (code, True), done


def test_a_fake_run_has_an_address_too(shop: CommandLine) -> None:
    shop.declare("version: 1\nproviders: {shopify: , pinecone: , mailchimp: }\n")
    ask = "curl -s https://%s | grep -c -e echo -e method"
    hosts = ("acme-store.myshopify.com/admin/x", "cats.svc.pinecone.io/x")
    for host in hosts:
        done = shop("run", "--fake", "--", "sh", "-c", f"{SHOW}; {ask % host}")
        assert done.out.startswith("acme-store authsome-proxy-managed\n"), done
        assert int(done.out.splitlines()[1]) > 0, done


def test_a_setting_that_makes_no_host_any_more_needs_a_person(shop: CommandLine) -> None:
    _login(shop, "shopify", shop="cats", api_key=TOKEN)
    path = shop.home / "providers" / "shopify.json"
    path.parent.mkdir(exist_ok=True)
    definition = json.loads(shop("inspect", "shopify").out)
    definition["host_url"] = "{shop}.shops.example"
    definition["test"] = None
    path.write_text(json.dumps({key: value for key, value in definition.items() if value is not None}))
    shop.declare("version: 1\nproviders: {shopify: }\n")
    done = shop("check")
    assert (done.code, "new: cats.shops.example" in done.out) == (3, True), done
    assert shop("get", "shopify", "--field", "status").out == "hosts changed\n"
