"""Commands about connections of tokens: what they show, renew, hand out and end."""

import base64
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from jsonschema import Draft7Validator

from authsome.oauth.kept import client_fields
from authsome.provider import CLIENT as APPLICATION, Catalogue, Host, Provider
from authsome.vault import Grant, Identity, Vault
from canary import GITHUB_TOKEN, sings
from conftest import CommandLine, Done
from quirks import CLIENT, Fault, Issued, Server
from schemas import FOLDER

pytest_plugins = ["forked_fixtures", "quirks_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

HOUR, DOCS = 3600.0, "https://acme.example/docs"
LATER = Fault(503, headers={"Retry-After": "60"})
REFUSED = Fault(400, b'{"error": "invalid_grant"}')


@dataclass
class Acme:
    """A command line with a definition of the quirky provider, and what its vault holds of it."""

    line: CommandLine
    server: Server

    def define(self, **more: Any) -> None:
        asks: dict[str, Any] = {
            "authorization_url": f"{self.server.url}/authorize",
            "token_url": f"{self.server.url}/token",
            "revocation_url": f"{self.server.url}/revoke",
            "scopes": ["read", "write"],
            **more,
        }
        path = self.line.home / "providers" / "acme.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        definition = {
            "name": "acme",
            "display_name": "Acme",
            "host_url": self.server.url,
            "auth_type": "oauth2",
            "flow": "pkce",
            "oauth": {name: each for name, each in asks.items() if each is not None},
            "export": {"env": {"access_token": "ACME_TOKEN"}},
            "test": {"url": f"{self.server.url}/api/me", "identity": "/login"},
            "private_addresses": True,
            "docs": DOCS,
        }
        path.write_text(json.dumps(definition))

    @property
    def provider(self) -> Provider:
        return Catalogue(self.line.home).get("acme").filled({})

    @property
    def vault(self) -> Vault:
        return Vault(self.line.home, "default", {"HOME": str(self.line.root)})

    def hold(
        self, *, left: float | None = HOUR, connection: str = "default", refresh: bool = True, **more: Any
    ) -> Issued:
        """Hold tokens of which so many seconds are left, and the application that they were given to."""
        issued, now = self.server.issue(refresh=refresh), time.time()
        fields = {"access_token": issued.access_token}
        if issued.refresh_token:
            fields["refresh_token"] = issued.refresh_token
        known: dict[str, Any] = {"flow": "pkce", "scopes": ("read", "write"), "asked": ("read", "write")} | more
        ends = None if left is None else now + left
        grant = Grant(hosts=(self.server.host,), issued_at=min(now, ends or now) - HOUR, expires_at=ends, **known)
        self.vault.write(self.provider, connection, fields, now, grant=grant)
        application = replace(self.provider, hosts=(Host.parse(self.server.host),), fields=())
        self.vault.own.write(application, APPLICATION, client_fields(CLIENT), now)
        return issued

    def fields(self, connection: str = "default") -> Mapping[str, str] | None:
        entry = self.vault.read("acme", connection)
        return entry.fields if entry else None

    def holds_application(self) -> bool:
        return self.vault.own.holds("acme", APPLICATION)

    def __call__(self, *arguments: str, reveals: bool = False) -> Done:
        return self.line(*arguments, reveals=reveals)

    def asked(self, path: str) -> int:
        return self.server.calls[path]


@pytest.fixture
def acme(authsome: CommandLine, quirky: Server) -> Iterator[Acme]:
    made = Acme(authsome, quirky)
    made.define()
    authsome.env["SSL_CERT_FILE"] = str(quirky.roots)
    yield made
    sent = [each for each in quirky.seen if sings(f"{each.path}?{each.query}".encode())]
    assert not sent, "a secret in an address"


def answer(done: Done, kind: str) -> dict[str, Any]:
    """Return an answer in JSON, which is as its schema says."""
    found: dict[str, Any] = json.loads(done.out)
    Draft7Validator(json.loads((FOLDER / "output" / f"{kind}.json").read_text())).validate(found)
    return found


# What is shown.


def test_get_shows_what_is_known_of_tokens_and_none_of_them(acme: Acme) -> None:
    acme.hold()
    found = answer(acme("get", "acme", "--json"), "connection")
    assert (found["flow"], found["scopes"], found["status"]) == ("pkce", ["read", "write"], "connected")
    assert (found["auth_type"], found["access_token"], found["refresh_token"]) == ("oauth2", "***", "***")
    assert abs(time.mktime(time.strptime(found["expires_at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()) < (
        HOUR + 60
    )
    assert acme.asked("/token") == 0


@pytest.mark.parametrize(
    ("more", "status"),
    [({"left": -1.0}, "expired"), ({"refused": "invalid_grant"}, "refused"), ({"left": None}, "connected")],
)
def test_the_status_says_what_became_of_tokens(acme: Acme, more: dict[str, Any], status: str) -> None:
    acme.hold(**more)
    assert acme("get", "acme", "--field", "status").out == f"{status}\n"
    found = answer(acme("get", "acme", "--json"), "connection")
    assert (found["expires_at"] is None) == ("left" in more and more["left"] is None)


def test_a_connection_of_a_provider_that_also_takes_keys_is_seen_as_what_it_is(acme: Acme) -> None:
    provider = Catalogue(acme.line.home).get("github").filled({})
    grant = Grant("device_code", ("api.github.com", "github.com"), ("repo",), ("repo",), time.time())
    fields = {"access_token": "gho_CANARY0123456789"}
    acme.vault.write(provider.with_tokens, "default", fields, time.time(), grant=grant)
    found = answer(acme("get", "github", "--json"), "connection")
    assert (found["auth_type"], found["flow"], found["status"]) == ("oauth2", "device_code", "connected")
    assert "api_key" not in found
    acme.line.declare("version: 1\nproviders:\n  github: {scopes: [repo]}\n")
    assert acme("check").out == "ok  github  in place\n"
    told = acme("why", "https://api.github.com/user")
    assert (told.code, "goes into the header `Authorization`" in told.out) == (0, True), told
    exported = acme("export", "github", "--format", "env", reveals=True)
    assert exported.out == "GH_TOKEN=gho_CANARY0123456789\nGITHUB_TOKEN=gho_CANARY0123456789\n"


# What is renewed before it is shown.


def test_an_access_token_that_is_shown_is_renewed_first(acme: Acme) -> None:
    before = acme.hold(left=30)
    shown = acme("get", "acme", "--field", "access_token", "--show-secret", reveals=True)
    assert shown.code == 0, shown
    assert acme.server.good(shown.out.strip())
    assert shown.out.strip() != before.access_token
    assert (acme.fields() or {})["access_token"] == shown.out.strip()
    assert acme.asked("/token") == 1


def test_an_access_token_that_holds_is_shown_as_it_is(acme: Acme) -> None:
    held = acme.hold()
    shown = acme("get", "acme", "--field", "access_token", "--show-secret", reveals=True)
    assert (shown.out, acme.asked("/token")) == (f"{held.access_token}\n", 0)


def test_a_refresh_token_is_shown_to_who_asks_for_it_and_spends_nothing(acme: Acme) -> None:
    held = acme.hold(left=-1)
    shown = acme("get", "acme", "--field", "refresh_token", "--show-secret", reveals=True)
    assert (shown.out, acme.asked("/token")) == (f"{held.refresh_token}\n", 0)


def test_an_access_token_that_cannot_be_renewed_is_not_shown(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", REFUSED)
    done = acme("get", "acme", "--field", "access_token", "--show-secret")
    assert (done.code, done.out) == (8, "")
    assert "invalid_grant" in done.err
    assert done.err.endswith("Hint: authsome login acme --force\n")
    assert acme("get", "acme", "--field", "status").out == "refused\n"


# check.


def _declare(acme: Acme, more: str = "") -> None:
    acme.line.declare(f"version: 1\nproviders:\n  acme: {{{more}}}\n")


@pytest.mark.parametrize(
    ("held", "declared", "code", "state", "command"),
    [
        ({}, "", 0, "in place", None),
        ({"left": -1.0}, "", 0, "expired, can be refreshed", None),
        ({"left": -1.0, "refresh": False}, "", 3, "expired, needs a person", "authsome login acme --force"),
        ({"refused": "invalid_grant"}, "", 3, "expired, needs a person", "authsome login acme --force"),
        ({}, "scopes: [read, admin]", 3, "fewer scopes than declared", "authsome login acme --scopes admin"),
        ({}, "required: false, scopes: [admin]", 0, "fewer scopes than declared", "authsome login acme --scopes admin"),
        ({"scopes": ("read",)}, "scopes: [read, write]", 0, "in place", None),
    ],
)
def test_check_says_how_tokens_stand_and_sends_nothing(
    acme: Acme, held: dict[str, Any], declared: str, code: int, state: str, command: str | None
) -> None:
    acme.hold(**held)
    _declare(acme, declared)
    done = acme("check", "--json")
    (step,) = answer(done, "plan")["steps"]
    assert (done.code, step["state"], step["command"]) == (code, state, command)
    assert not acme.server.calls
    assert state in acme("check").out


# export.

_FORMATS = ("env", "shell", "fish", "powershell", "json", "yaml", "dotenv", "docker", "gitlab", "k8s", "direnv")


@pytest.mark.parametrize("form", _FORMATS)
def test_export_hands_out_access_tokens_and_nothing_that_renews_them(acme: Acme, form: str) -> None:
    before = acme.hold(left=30)
    done = acme("export", "--format", form, reveals=True)
    assert done.code == 0, done
    fields = acme.fields() or {}
    said = done.out if form != "k8s" else done.out + _decoded(done.out)
    assert fields["access_token"] in said
    assert fields["access_token"] != before.access_token
    for secret in (before.access_token, before.refresh_token, fields["refresh_token"], CLIENT.client_secret):
        assert secret
        assert secret not in said
    assert acme.asked("/token") == 1


def _decoded(text: str) -> str:
    return "".join(base64.b64decode(each).decode() for each in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", text))


def test_export_of_a_token_that_cannot_be_renewed_is_an_error_and_hands_out_nothing(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", LATER)
    done = acme("export", "acme")
    assert (done.code, done.out) == (8, ""), done


def test_an_optional_token_that_cannot_be_renewed_is_left_out_and_that_is_said(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", LATER)
    _declare(acme, "required: false")
    done = acme("export")
    assert (done.code, done.out) == (0, "")
    assert "acme is left out: " in done.err


def test_a_run_renews_what_has_expired_before_it_starts(acme: Acme) -> None:
    acme.hold(left=-1)
    _declare(acme)
    done = acme("run", "--", "printenv", "ACME_TOKEN")
    assert (done.code, done.out) == (0, "authsome-proxy-managed\n"), done
    assert acme.asked("/token") == 1
    assert acme("check").out == "ok  acme  in place\n"


def test_a_run_whose_tokens_were_refused_does_not_start_without_a_person(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", REFUSED)
    _declare(acme)
    done = acme("run", "--no-input", "--", "true")
    assert done.code == 125
    assert "acme (expired, needs a person)" in done.err
    assert done.err.endswith("  authsome login acme --force\n")


# test.


def test_a_token_that_is_tested_is_renewed_first(acme: Acme) -> None:
    acme.hold(left=30)
    acme.server.end_access()
    done = acme("test")
    assert done.code == 0, done
    assert "ok  acme  connected as a-person" in done.out


def test_what_cannot_be_renewed_is_said_by_test(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", REFUSED)
    done = acme("test", "acme", "--json")
    (row,) = answer(done, "test")["connections"]
    assert (done.code, row["state"], row["hint"]) == (3, "expired, needs a person", "authsome login acme --force")


def test_a_provider_that_cannot_be_asked_for_a_token_is_unavailable(acme: Acme) -> None:
    acme.hold(left=-1)
    acme.server.fail("/token", LATER)
    done = acme("test", "acme", "--json")
    (row,) = answer(done, "test")["connections"]
    assert (done.code, row["state"]) == (8, "unavailable")


# The ways out.


def _ended(acme: Acme, issued: Issued) -> tuple[bool, bool]:
    found = next(each for each in acme.server.issued if each.access_token == issued.access_token)
    return found.access_ended, found.refresh_ended


def test_revoke_ends_both_tokens_at_the_provider_and_forgets_them_with_the_application(acme: Acme) -> None:
    issued = acme.hold()
    done = acme("revoke", "acme")
    assert (done.code, done.out) == (0, "Revoked and removed acme (default).\n"), done
    assert _ended(acme, issued) == (True, True)
    hints = [each.form["token_type_hint"] for each in acme.server.seen if each.path == "/revoke"]
    assert hints == ["refresh_token", "access_token"]
    assert (acme.fields(), acme.holds_application()) == (None, False)
    lines = done.err.splitlines()
    assert lines[0].startswith("Acme has ended the refresh token and what came of it. Where nobody asks Acme about")
    assert lines[1] == "The application that logs in to acme is forgotten here; the provider still knows it."


def test_revoke_says_in_json_what_was_ended(acme: Acme) -> None:
    acme.hold()
    found = answer(acme("revoke", "acme", "--json"), "revoke")
    assert (found["ended"], found["valid_at_provider"], found["application"]) == (["default"], False, True)


def test_revoke_of_one_of_two_keeps_the_other_and_the_application(acme: Acme) -> None:
    one, other = acme.hold(), acme.hold(connection="team")
    done = acme("revoke", "acme", "--connection", "team")
    assert done.code == 0, done
    assert (_ended(acme, one), _ended(acme, other)) == ((False, False), (True, True))
    assert (bool(acme.fields()), acme.fields("team"), acme.holds_application()) == (True, None, True)


def test_revoke_in_a_provider_s_own_form_ends_an_expired_token_by_its_successor(acme: Acme) -> None:
    url = f"{acme.server.url}/applications/{{client_id}}/token"
    form = {"method": "DELETE", "url": url, "basic": {"username": "{client_id}", "password": "{client_secret}"}}
    acme.define(revocation_url=None, revocation={**form, "json": {"access_token": "{access_token}"}})
    acme.hold(left=-1)
    done = acme("revoke", "acme")
    assert done.code == 0, done
    assert all(each.access_ended for each in acme.server.issued[1:])
    assert "Acme has ended the access token; that you agreed to the application stays noted there.\n" in done.err


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(200, b"<html>CANARY</html>", {"Content-Type": "text/html"}),
        Fault(400, b'{"error": "invalid_client", "error_description": "no"}'),
        Fault(302, headers={"Location": "https://evil.example/"}),
    ],
)
def test_tokens_that_the_provider_has_not_ended_are_kept(acme: Acme, fault: Fault) -> None:
    acme.hold()
    acme.server.fail("/revoke", fault, times=9)
    done = acme("revoke", "acme")
    if fault.status == 200:  # RFC 7009, 2.2: what the answer says besides is of no meaning
        assert done.code == 0
        return
    assert (done.code, done.out) == (8, ""), done
    assert "; nothing was forgotten\n" in done.err
    assert done.err.endswith("Hint: try again, or forget it here alone: authsome remove acme\n")
    assert (bool(acme.fields()), acme.holds_application()) == (True, True)


def test_tokens_of_a_provider_that_cannot_be_reached_are_kept(acme: Acme) -> None:
    acme.hold()
    acme.line.env["HTTPS_PROXY"] = "http://127.0.0.1:9"
    done = acme("revoke", "acme")
    assert (done.code, done.out, bool(acme.fields())) == (8, "", True), done


def test_a_provider_without_a_way_to_end_a_token_says_where_and_keeps_all(acme: Acme) -> None:
    acme.define(revocation_url=None)
    acme.hold()
    acme.hold(connection="team")
    done = acme("revoke", "acme", "--yes")
    assert (done.code, done.out) == (8, "")
    assert done.err == f"Error: Acme has no way to end a token\nHint: end it at {DOCS}, then: authsome remove acme\n"
    assert acme.fields()
    assert acme.fields("team")
    assert not acme.server.calls


def test_a_way_to_end_tokens_is_found_where_the_provider_says_it(acme: Acme) -> None:
    acme.define(revocation_url=None, issuer=acme.server.url)
    issued = acme.hold()
    assert acme("revoke", "acme").code == 0
    assert _ended(acme, issued) == (True, True)


@pytest.mark.parametrize("flow", ["jwt_bearer", "app_installation"])
def test_what_is_signed_for_is_ended_by_ending_the_key(acme: Acme, flow: str) -> None:
    acme.hold(flow=flow, refresh=False)
    done = acme("revoke", "acme")
    assert (done.code, bool(acme.fields())) == (8, True)
    assert "whoever has the key" in done.err


def test_tokens_whose_definition_is_gone_are_not_forgotten_as_if_they_were_ended(acme: Acme) -> None:
    acme.hold()
    (acme.line.home / "providers" / "acme.json").unlink()
    done = acme("revoke", "acme")
    assert (done.code, done.err.splitlines()[1]) == (
        8,
        "Hint: end them at the provider, then: authsome remove acme",
    )
    assert acme.vault.own.holds("acme", "default")


def test_logout_asks_nobody_keeps_the_application_and_says_until_when_the_token_holds(acme: Acme) -> None:
    acme.hold()
    done = acme("logout", "acme")
    assert (done.code, done.out) == (0, "Logged out of acme (default).\n")
    assert re.fullmatch(
        r"The provider was not asked: the access token is valid there until \d{4}-[-\dT:]+Z, and what renews it until "
        r"it is ended\. Before a logout, `authsome revoke acme` ends both\.\n",
        done.err,
    )
    assert (acme.fields(), acme.holds_application()) == (None, True)
    assert not acme.server.calls


def test_remove_asks_nobody_and_forgets_the_application_with_the_last_connection(acme: Acme) -> None:
    acme.hold()
    acme.hold(connection="team")
    assert acme("remove", "acme", "--connection", "team").code == 0
    assert acme.holds_application()
    done = acme("remove", "acme")
    assert (done.code, done.out) == (0, "Removed acme (default).\n")
    assert "The tokens are still valid at the provider." in done.err
    assert "The application that logs in to acme is forgotten here" in done.err
    assert not acme.holds_application()
    assert not acme.server.calls


def test_a_shared_key_that_is_revoked_leaves_tokens_of_one_s_own_alone(acme: Acme) -> None:
    acme.line.declare("version: 1\nproviders: {github: }\n")
    acme.line.login("github", GITHUB_TOKEN, "--shared")
    provider = Catalogue(acme.line.home).get("github").filled({})
    grant = Grant("device_code", ("api.github.com", "github.com"), ("repo",), ("repo",), time.time())
    acme.vault.write(provider.with_tokens, "default", {"access_token": "gho_CANARY"}, time.time(), grant=grant)
    done = acme("revoke", "github", "--shared")
    assert (done.code, done.out) == (0, "Removed github (default).\n"), done
    assert acme.vault.own.holds("github", "default")


def test_a_logout_runs_no_program_to_say_until_when_a_token_holds(acme: Acme) -> None:
    acme.hold()
    (acme.line.home / "identity.txt").rename(acme.line.root / "outside-identity.txt")
    acme.line.env["AUTHSOME_IDENTITY_COMMAND"] = "touch asked; false"
    done = acme("logout", "acme")
    assert (done.code, "the access token is valid there, and what renews it" in done.err) == (0, True), done
    assert not (acme.line.project / "asked").exists()


def test_an_application_that_a_logout_has_left_can_be_removed(acme: Acme) -> None:
    acme.hold()
    acme("logout", "acme")
    assert acme("revoke", "acme").code == 3
    done = acme("remove", "acme")
    assert (done.code, done.out) == (0, "Removed the application of acme.\n")
    assert not acme.holds_application()
    assert acme("remove", "acme").code == 3


def test_list_names_no_application_and_nothing_says_that_there_is_no_oauth(acme: Acme) -> None:
    acme.hold()
    listed = answer(acme("list", "--json"), "list")["connections"]
    assert [(each["provider"], each["connection"], each["status"]) for each in listed] == [
        ("acme", "default", "connected")
    ]
    assert acme("list", "--available").err == ""


def test_a_provider_of_tokens_is_found_in_the_code_and_declared(acme: Acme) -> None:
    (acme.line.project / "app.py").write_text('import os\n\nos.environ["ACME_TOKEN"]\n')
    done = acme("init", "--yes")
    assert (done.code, "it declares acme." in done.out) == (0, True), done
    assert acme("check", "--drift").code == 0
    (acme.line.project / "app.py").write_text('import os\n\nos.environ["LINKEDIN_ACCESS_TOKEN"]\n')
    assert acme("check", "--drift").code == 3


def test_a_token_that_lies_around_is_no_key_to_import(acme: Acme) -> None:
    (acme.line.project / ".env").write_text("ACME_TOKEN=CANARY-0123456789abcdef\n")
    done = acme("import", ".env", "--yes")
    assert "Acme logs in with OAuth: authsome login acme" in done.out + done.err, done
    assert acme.fields() is None
    (acme.line.project / ".env").unlink()


# The application in the vault, which is no connection.


def test_a_vault_with_an_application_is_sound_and_comes_back_from_a_backup(acme: Acme) -> None:
    acme.hold()
    assert acme("vault", "verify").code == 0
    key = json.loads(acme("identity", "show", "--json").out)["public_key"]
    saved = acme("vault", "export", "--to", "b.age", "--recipient", key)
    assert saved.code == 0, saved
    before = acme.fields()
    acme.line.home.rename(acme.line.root / "outside")
    restored = acme("vault", "import", "b.age", "--identity", str(acme.line.root / "outside" / "identity.txt"))
    assert restored.code == 0, restored
    assert (acme.fields(), acme.holds_application()) == (before, True)


def test_what_a_removed_member_could_read_names_a_command_for_the_application_too(acme: Acme) -> None:
    acme.hold()
    assert acme("recipients", "add", str(Identity.generate("a test").recipient), "--name", "bob").code == 0
    assert acme("recipients", "remove", "bob", "--yes").code == 0
    rows = json.loads(acme("list", "--exposed", "--json").out)["connections"]
    assert [(row["name"], row["command"]) for row in rows] == [
        ("acme/default", "authsome login acme --force"),
        ("acme/oauth-client", "authsome login acme --force"),
    ]
    assert acme("vault", "verify").code == 0
    assert acme("get", "acme", "--field", "status").out == "connected\n"


@pytest.mark.parametrize("command", ["get", "logout", "login", "export", "set-default"])
def test_no_command_takes_an_application_for_a_connection(acme: Acme, command: str) -> None:
    acme.hold()
    named = ["oauth-client"] if command == "set-default" else ["--connection", "oauth-client"]
    done = acme(command, "acme", *named)
    assert (done.code, done.out) == (2, "")
    assert "`oauth-client` is no connection" in done.err
    assert acme.holds_application()


# Definitions that nobody has agreed to.


def _brought_along(acme: Acme, definition: dict[str, Any]) -> None:
    """Have the working folder bring a definition of its own."""
    acme.line.declare("version: 1\nproviders: {acme: }\n")
    folder = acme.line.project / ".authsome" / "providers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acme.json").write_text(json.dumps(definition))
    (acme.line.home / "providers" / "acme.json").unlink()


def _definition(acme: Acme, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((acme.line.home / "providers" / "acme.json").read_text())
    found["oauth"] |= more
    return found


def test_a_definition_that_a_folder_brings_gets_no_tokens_by_their_revocation(acme: Acme) -> None:
    acme.hold()
    _brought_along(acme, _definition(acme, revocation_url=f"{acme.server.url}/elsewhere"))
    done = acme("revoke", "acme")
    assert (done.code, done.out, bool(acme.server.calls)) == (7, "", False), done
    assert "authsome trust" in done.err
    assert acme.vault.own.holds("acme", "default")


def test_a_definition_that_a_folder_brings_gets_no_tokens_by_their_renewal(acme: Acme) -> None:
    acme.hold(left=-1)
    _brought_along(acme, _definition(acme, token_url=f"{acme.server.url}/elsewhere"))
    done = acme("get", "acme", "--show-secret")
    assert (done.code, done.out, bool(acme.server.calls)) == (7, "", False), done


def test_tokens_are_ended_at_hosts_that_somebody_has_agreed_to(acme: Acme) -> None:
    issued = acme.hold()
    acme.line.env["ACME_ID"] = CLIENT.client_id
    changed = {
        **_definition(acme, revocation_url="https://elsewhere.example/revoke"),
        "client": {"client_id_env": "ACME_ID"},
    }
    (acme.line.home / "providers" / "acme.json").write_text(json.dumps(changed))
    done = acme("revoke", "acme")
    assert (done.code, done.out, bool(acme.server.calls)) == (8, "", False), done
    assert "which nobody agreed to" in done.err
    assert _ended(acme, issued) == (False, False)
    assert acme.vault.own.holds("acme", "default")


def test_a_command_that_is_printed_asks_for_what_was_asked_for(acme: Acme) -> None:
    """Another flow, other scopes or another account would be another login."""
    acme.define(client_credentials={})
    more = ("--connection", "ci", "--flow", "client_credentials", "--scopes", "read,admin", "--profile", "work")
    said = "authsome login acme --connection ci --flow client_credentials --scopes read,admin --profile work"
    nobody = acme.line("login", "acme", *more)
    assert (nobody.code, f"Hint: {said} --stdin < FILE\n" in nobody.err) == (3, True)
    nobody = acme.line("login", "acme", "--connection", "ci", "--flow", "pkce", "--force")
    assert (
        "Hint: run where a person can answer: authsome login acme --connection ci --flow pkce --force\n" in nobody.err
    )
    acme.hold()
    held = acme.line("login", "acme", "--flow", "client_credentials")
    assert (held.code, held.err.splitlines()[-1]) == (
        2,
        "Hint: to replace it: authsome login acme --flow client_credentials --force",
    )


def test_scopes_are_not_passed_over_where_a_key_is_asked_for(acme: Acme) -> None:
    """Else a key that is held would be replaced, and nobody would have asked for the scopes."""
    acme.line("login", "github", "--stdin", given=GITHUB_TOKEN)
    for more in ((), ("--stdin",)):
        refused = acme.line("login", "github", "--scopes", "gist", *more, given="ghp_CANARY")
        assert (refused.code, refused.out) == (2, "")
        assert "GitHub is logged in to with a key here, and --scopes is about tokens" in refused.err
        assert "name a flow, too: " in refused.err
        assert "device_code" in refused.err
    assert acme.line("get", "github", "--field", "generation").out == "1\n"
    refused = acme.line("login", "openai", "--scopes", "all")
    assert "choose what the key may do where you make it: https://platform.openai.com/" in refused.err


@pytest.mark.parametrize(
    ("fault", "words"), [(LATER, "localhost"), (Fault(400, b'{"error": "invalid_scope"}'), "`invalid_scope`")]
)
def test_a_login_that_a_provider_does_not_finish_says_how_to_start_again(acme: Acme, fault: Fault, words: str) -> None:
    acme.define(client_credentials={})
    acme.server.fail("/token", fault, 9)
    said = json.dumps({"client_id": CLIENT.client_id, "client_secret": "CANARY-secret"})
    login = ("login", "acme", "--flow", "client_credentials")
    done = acme.line(*login, "--stdin", given=said)
    assert (done.code, words in done.err) == (8, True)
    hint = "Hint: nothing was stored; to start again: authsome login acme --flow client_credentials"
    assert done.err.splitlines()[-1] == f"{hint} --stdin < FILE"
    acme.hold(connection="other")  # its application is known, and nobody need be asked
    assert acme.line(*login, "--no-input").err.splitlines()[-1] == hint


def test_a_way_back_that_a_provider_does_not_take_is_said_before_anything_is_asked(acme: Acme) -> None:
    refused = acme.line("login", "slack", "--flow", "pkce")
    assert (refused.code, refused.out) == (2, "")
    assert "Slack sends people back to an https address only" in refused.err
    assert refused.err.splitlines()[-1].startswith("Hint: make a token on its own page, which `authsome login slack`")


def test_whoever_waits_for_a_provider_is_told(acme: Acme) -> None:
    acme.define(client_credentials={})
    acme.hold(connection="other")
    login = ("login", "acme", "--flow", "client_credentials", "--no-input")
    slow = acme.server.hold("/token")
    threading.Timer(1.5, slow.go.set).start()
    assert acme.line(*login).err == "Waiting for localhost …\n"
    slow = acme.server.hold("/revoke")
    threading.Timer(1.5, slow.go.set).start()
    assert acme.line("revoke", "acme", "--connection", "other").err.startswith(
        "Waiting for localhost …\nAcme has ended"
    )
    assert acme.line(*login, "--force").err.startswith("Error: nobody to ask")  # nothing was slow


def test_a_connection_that_was_refused_is_left_out_in_so_many_words(acme: Acme) -> None:
    """Without a manifest all that is held is optional."""
    acme.hold(left=-60.0, refused="invalid_grant")
    said = "acme is left out: Acme gives no new token: invalid_grant; authsome login acme --force\n"
    ask = (
        "import sys, urllib.request as web\ntry: web.urlopen(sys.argv[1])\nexcept web.HTTPError as no: print(no.read())"
    )
    done = acme.line("run", "--", sys.executable, "-c", ask, f"{acme.server.url}/api/me")
    assert (done.code, done.err.startswith(said)) == (0, True)
    assert '"reason": "acme could not be used: Acme gives no new token: invalid_grant"' in done.out
    assert '"hint": "authsome login acme --force"' in done.out
    exported = acme.line("export")
    assert (exported.code, exported.out, exported.err) == (
        0,
        "",
        f"{said}Nothing is connected that could be exported.\n",
    )


def test_a_run_whose_token_cannot_be_renewed_now_says_which(acme: Acme) -> None:
    acme.hold(left=-60.0)
    _declare(acme)
    acme.server.fail("/token", LATER, 9)
    done = acme.line("run", "--", "true")
    assert done.code == 125
    assert "Error: the token of acme has expired, and there is no new one: " in done.err
    assert done.err.splitlines()[-1].startswith("Hint: try again in a while")


def test_a_flow_that_a_provider_does_not_have_is_refused_with_a_whole_command(acme: Acme) -> None:
    refused = acme.line("login", "acme", "--connection", "ci", "--flow", "jwt_bearer")
    assert (refused.code, refused.err) == (
        2,
        "Error: Acme has no flow `jwt_bearer`: there is pkce\nHint: authsome login acme --connection ci --flow pkce\n",
    )


def test_a_token_from_elsewhere_is_no_key_of_a_provider_that_has_none(acme: Acme) -> None:
    refused = acme.line("login", "acme", "--flow", "api_key", "--stdin", given="CANARY-token-0123456789")
    assert (refused.code, refused.err) == (
        2,
        "Error: Acme takes no key, it logs in with OAuth\nHint: authsome login acme\n",
    )


def test_a_logout_does_not_call_an_expired_token_valid(acme: Acme) -> None:
    acme.hold(left=-60.0)
    said = acme.line("logout", "acme").err
    assert "the access token has expired, and what renews it is valid until it is ended. " in said
