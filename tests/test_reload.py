"""Edits during a run: an agent on one kept connection, and the files that are changed under it."""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

import tokens
from authsome import manifest, reload, rules, session
from authsome.oauth import DeniedError, Tokens
from authsome.provider import Catalogue
from authsome.renewal import Renewal
from authsome.rules import Rules
from authsome.vault import Grant, Vault
from canary import GITHUB_TOKEN
from conftest import CommandLine
from running import Run, running, until

pytest_plugins = ["forked_fixtures"]
pytestmark = pytest.mark.usefixtures("forked_lines")

KEY, OTHER_KEY = "CANARY-first-key", "CANARY-second-key"
MANIFEST = "version: 1\nproviders:\n  local:\n    allow: [GET /a, GET /b/**]\n"


class _Upstream(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.keys: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def upstream(authsome: CommandLine) -> Iterator[_Upstream]:
    """Serve `localhost` and connect a provider that is allowed to use it."""
    authority = trustme.CA()
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(settings)
    roots = authsome.root / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    with _Upstream() as server:
        server.socket = settings.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        authsome.env = {"SSL_CERT_FILE": str(roots)}
        (authsome.home / "providers").mkdir(parents=True)
        _define(authsome, server)
        authsome.login("local", KEY)
        yield server
        server.shutdown()


def _define(line: CommandLine, server: _Upstream, *more: str, header: str = "Authorization") -> None:
    urls = [f"https://localhost:{server.server_address[1]}", *more]
    definition = {"name": "local", "host_url": urls, "api_key": {"env_var": "LOCAL_KEY", "header_name": header}}
    (line.home / "providers" / "local.json").write_text(json.dumps(definition))


@pytest.fixture
def run(authsome: CommandLine, upstream: _Upstream) -> Iterator[Run]:
    authsome.declare(MANIFEST)
    with running(authsome, upstream.server_address[1]) as made:
        assert made.error() == "none"
        yield made


def test_a_rotated_key_is_used_by_the_next_request_of_an_open_connection(
    authsome: CommandLine, upstream: _Upstream, run: Run
) -> None:
    first = run.ask()["connection"]
    authsome.login("local", OTHER_KEY, "--force")
    run.until_said("reloaded: local rotated\n")
    assert run.ask()["connection"] == first
    assert upstream.keys == [KEY, KEY, OTHER_KEY]


def test_a_logout_ends_the_use_and_a_login_brings_it_back(authsome: CommandLine, upstream: _Upstream, run: Run) -> None:
    assert authsome("logout", "local").code == 0
    run.until_said("local is refused from now on (missing; `authsome login local`)")
    body = run.ask()["body"]
    assert isinstance(body, dict)
    assert (body["error"], body["hint"]) == ("not_connected", "authsome login local --force")
    assert upstream.keys == [KEY]
    authsome.login("local", OTHER_KEY)
    run.until_said("local is back")
    assert run.error() == "none"
    assert upstream.keys == [KEY, OTHER_KEY]


def test_a_logout_takes_effect_also_while_the_manifest_is_broken(authsome: CommandLine, run: Run) -> None:
    """The agent can break the manifest."""
    authsome.declare("version: 1\nproviders: [")
    run.until_said("the rules before this edit still hold")
    assert authsome("--file", str(authsome.root / "other.yaml"), "list").code == 6
    other = authsome.root / "other.yaml"
    other.write_text("version: 1\n")
    assert authsome("--file", str(other), "logout", "local").code == 0
    run.until_said("local is refused from now on")
    assert run.error() == "not_connected"


def test_an_edit_that_cannot_be_used_changes_nothing_and_is_told_once(authsome: CommandLine, run: Run) -> None:
    authsome.declare("version: 1\nproviders:\n  local: {alow: [GET /a]}\n")
    run.until_said("authsome.yaml:3: unknown key")
    assert (run.error(), run.error(path="/c")) == ("none", "not_allowed")
    authsome.declare("version: 1\nproviders:\n  local: {alow: [GET /a]}\n# again\n")
    authsome.declare(MANIFEST)
    run.until_said("what could not be used is mended")
    authsome.declare(MANIFEST + "#" * 70_000)
    run.until_said("authsome.yaml is larger than 64 KiB; the rules before")
    assert run.said().count("unknown key") == 1


def test_a_narrowed_allow_holds_at_once_and_an_edit_taken_back_restores_it(authsome: CommandLine, run: Run) -> None:
    assert run.error(path="/b/c") == "none"
    authsome.declare(MANIFEST.replace(", GET /b/**", ""))
    run.until_said("`allow` of local changed")
    assert (run.error(path="/b/c"), run.error()) == ("not_allowed", "none")
    before = run.said().count("`allow` of local changed")
    authsome.declare(MANIFEST)
    until(lambda: run.said().count("`allow` of local changed") > before, run.said)
    assert run.error(path="/b/c") == "none"
    assert "restart" not in run.said()


def test_what_widens_waits_for_the_next_run(authsome: CommandLine, run: Run) -> None:
    """The agent can edit the manifest of the folder it works in."""
    authsome.declare(MANIFEST.replace("[GET /a", "[GET /c, GET /a") + "  openai: {required: false}\n")
    run.until_said("needs a restart of `authsome run`: `allow` of local permits more, openai is declared")
    assert (run.error(path="/c"), run.error()) == ("restart_needed", "none")
    assert "403" in str(run.ask("CONNECT", "api.openai.com")["status"])


def test_a_manifest_that_is_replaced_by_a_renamed_file_is_read(authsome: CommandLine, run: Run) -> None:
    draft = authsome.project / "draft"
    draft.write_text("version: 1\n")
    draft.replace(authsome.project / "authsome.yaml")
    run.until_said("local has lost localhost")
    assert run.error() == "not_declared"
    (authsome.project / "authsome.yaml").unlink()
    run.until_said("authsome.yaml is gone; the rules before this edit still hold")
    assert run.error() == "not_declared"


def test_a_definition_with_another_header_or_host_waits(authsome: CommandLine, upstream: _Upstream, run: Run) -> None:
    _define(authsome, upstream, header="X-Key")
    run.until_said("needs a restart of `authsome run`: the credential of local is sent in another way")
    assert run.error() == "none"
    assert upstream.keys == [KEY, KEY]
    _define(authsome, upstream, "https://evil.example")
    run.until_said("local is refused from now on (hosts differ from those agreed to; `authsome login local --force`)")
    assert run.error() == "not_connected"
    assert "local has evil.example" in run.said()


def test_a_damaged_entry_leaves_the_secret_that_was_held(authsome: CommandLine, upstream: _Upstream, run: Run) -> None:
    entry = authsome.home / "profiles" / "default" / "connections" / "local" / "default.age"
    entry.write_text("damaged")
    run.until_said("the credentials before still hold")
    assert run.error() == "none"
    assert upstream.keys == [KEY, KEY]


def test_a_replaced_profile_is_not_used(authsome: CommandLine, upstream: _Upstream, run: Run) -> None:
    """A profile encrypted to the user's recipient can be made by anybody; its keys are somebody else's."""
    profiles = authsome.home / "profiles"
    (profiles / "default").rename(profiles / "mine")
    authsome.login("local", OTHER_KEY)
    run.until_said("the profile `default` has other keys than before; the credentials before still hold")
    assert run.error() in ("none", "not_connected")  # the moment between the two profiles is a logout, if it is seen
    assert set(upstream.keys) == {KEY}


def test_a_manifest_behind_links_and_one_that_is_nearer_are_followed(tmp_path: Path) -> None:
    """Some deployments swap a folder behind a link; the manifest's own link stays as it is."""
    folder = tmp_path / "work" / "deeper"
    folder.mkdir(parents=True)
    for name, text in (("one", MANIFEST), ("two", MANIFEST.replace("GET /b/**", "GET /c"))):
        (tmp_path / "work" / name).mkdir()
        (tmp_path / "work" / name / "authsome.yaml").write_text(text)
    (tmp_path / "work" / "now").symlink_to("one")
    (tmp_path / "work" / "authsome.yaml").symlink_to("now/authsome.yaml")
    swapped, told = _followed(folder)
    (tmp_path / "work" / "next").symlink_to("two")
    (tmp_path / "work" / "next").replace(tmp_path / "work" / "now")
    until(lambda: "authsome: reloaded: `allow` of local changed" in told, lambda: told)
    assert [str(line) for line in swapped[-1].rules[0].narrowed or ()] == ["GET /a", "GET /c"]
    (folder / "authsome.yaml").write_text("version: 1\n")
    until(lambda: any("local has lost localhost:1" in line for line in told), lambda: told)


def test_a_key_for_another_address_goes_to_neither_where_that_address_is_taken(tmp_path: Path) -> None:
    """What two claim is nobody's, and the address before is not the one that the new key was given for."""
    home = tmp_path / "home"
    (home / "providers").mkdir(parents=True)
    tenant = {
        "name": "tenant",
        "host_url": "{shop}.shops.example",
        "inject": [{"value": "Bearer {key}"}],
        "fields": {"shop": {"secret": False}, "key": {"env": "TENANT_KEY"}},
    }
    mine = {"name": "mine", "host_url": "cats.shops.example", "api_key": {"env_var": "MINE_KEY"}}
    for each in (tenant, mine):
        (home / "providers" / f"{each['name']}.json").write_text(json.dumps(each))
    (tmp_path / "authsome.yaml").write_text("version: 1\nproviders: {tenant: , mine: }\n")
    project = manifest.load(tmp_path / "authsome.yaml", Catalogue(home))
    vault = Vault(home, "default", {})
    provider = project.connections[0].provider
    session.store(vault, provider, "default", json.dumps({"shop": "dogs", "key": KEY}))
    session.store(vault, project.connections[1].provider, "default", "CANARY-mine")
    live = session.in_place(session.survey(vault, project.connections))
    settled = live.settled(project)
    made = rules.of_project(settled, live.holds)
    swapped: list[tuple[Rules, session.Session]] = []
    told: list[str] = []
    origin = reload.Origin(tmp_path, None, {}, settled, vault, made, live)
    following = reload.Reload(origin, lambda *new: swapped.append(new), tell=told.append, warn=told.append)
    session.store(vault, provider, "default", json.dumps({"shop": "cats", "key": OTHER_KEY}))
    following.look()
    held, now = swapped[-1]
    assert now.secrets("tenant", "default")["key"] == OTHER_KEY
    assert {str(host) for host in held.rules[0].hosts - held.rules[0].dropped} == set()
    assert any("both claim cats.shops.example" in line for line in told)


def test_tokens_that_are_renewed_are_not_talked_of_and_a_login_and_a_refusal_are(tmp_path: Path) -> None:
    home, now = tmp_path / "home", time.time()
    vault = Vault(home, "default", {})
    acme = tokens.provider_at(1)
    declared = tokens.hold(vault, acme, now)
    (home / "providers").mkdir(exist_ok=True)
    (home / "providers" / "acme.json").write_text(json.dumps(tokens.DEFINITION))
    (tmp_path / "authsome.yaml").write_text("version: 1\nproviders: {acme: }\n")
    project = manifest.load(tmp_path / "authsome.yaml", Catalogue(home))
    live = session.in_place(session.survey(vault, project.connections))
    made = rules.of_project(live.settled(project), live.holds)
    swapped: list[session.Session] = []
    told: list[str] = []
    warned: list[str] = []
    origin = reload.Origin(tmp_path, None, {}, project, vault, made, live)
    following = reload.Reload(origin, lambda _, new: swapped.append(new), tell=told.append, warn=warned.append)
    following.look()

    def renewed(answer: Tokens | DeniedError) -> None:
        def talk(*_: object) -> Tokens:
            if isinstance(answer, DeniedError):
                raise answer
            return answer

        held = swapped[-1].secrets("acme", "default")["access_token"]
        with contextlib.suppress(DeniedError):
            Renewal(Vault(home, "default", {}), talk).fresh(declared, held)
        following.look()

    renewed(Tokens("CANARY-access-1", "CANARY-refresh-1", 3600.0))
    renewed(Tokens("CANARY-access-2", None, 3600.0))
    renewed(Tokens("CANARY-access-3", "CANARY-refresh-3", 3600.0))
    assert swapped[-1].secrets("acme", "default") == {"access_token": "CANARY-access-3"}
    assert (told, warned) == ([], [])
    renewed(DeniedError("invalid_grant", "no"))
    assert swapped[-1].holds(declared)
    assert (told, warned) == (
        [],
        ["authsome: reloaded: acme gets no new tokens any more (`authsome login acme --force`)"],
    )
    tokens.hold(vault, acme, now, Tokens("CANARY-access-login", "CANARY-refresh-login", 3600.0))
    following.look()
    assert told == ["authsome: reloaded: acme rotated"]


def test_tokens_in_the_place_of_a_key_are_for_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "authsome.yaml").write_text("version: 1\nproviders: {github: }\n")
    home = tmp_path / "home"
    project = manifest.load(tmp_path / "authsome.yaml", Catalogue(home))
    vault, now = Vault(home, "default", {}), time.time()
    github = project.connections[0].provider
    session.store(vault, github, "default", GITHUB_TOKEN)
    live = session.in_place(session.survey(vault, project.connections))
    swapped: list[tuple[Rules, session.Session]] = []
    said: list[str] = []
    origin = reload.Origin(
        tmp_path, None, {}, live.settled(project), vault, rules.of_project(project, live.holds), live
    )
    following = reload.Reload(origin, lambda *new: swapped.append(new), tell=said.append, warn=said.append)
    following.look()
    assert (swapped[-1][0].rules[0].held, said) == (True, [])
    assert github.oauth
    grant = Grant("device_code", tuple(github.oauth.token_hosts), ("repo",), ("repo",), now)
    vault.write(github.with_tokens, "default", {"access_token": "gho_CANARY"}, now, grant=grant)
    following.look()
    made, held = swapped[-1]
    assert (made.rules[0].held, held.holds(project.connections[0])) == (False, False)
    assert "github is refused from now on (a key has taken the place of tokens, or tokens that of a key: " in said[0]
    vault.write(github, "default", {"api_key": GITHUB_TOKEN}, now)
    following.look()
    assert swapped[-1][0].rules[0].held
    assert said[-1] == "authsome: reloaded: github is back"


def _followed(folder: Path) -> tuple[list[Rules], list[str]]:
    """Follow the files of a project until the test process ends; return what was swapped in, and said."""
    home = folder / "home"
    (home / "providers").mkdir(parents=True)
    definition = {"name": "local", "host_url": "https://localhost:1", "api_key": {"env_var": "LOCAL_KEY"}}
    (home / "providers" / "local.json").write_text(json.dumps(definition))
    found = manifest.find(folder)
    assert found
    project = manifest.load(found, Catalogue(home))
    vault = Vault(home, "default", {})
    session.store(vault, project.connections[0].provider, "default", KEY)
    live = session.in_place(session.survey(vault, project.connections))
    made = rules.of_project(project, live.holds)
    swapped: list[Rules] = []
    told: list[str] = []
    origin = reload.Origin(folder, None, {}, project, vault, made, live)
    following = reload.Reload(origin, lambda new, _: swapped.append(new), tell=told.append, warn=told.append)
    threading.Thread(target=following.follow, args=(threading.Event(),), daemon=True).start()
    until(lambda: bool(swapped), lambda: told)
    assert swapped == [made]
    assert told == []
    return swapped, told


def test_an_edit_that_needs_trust_waits_for_it(authsome: CommandLine, run: Run) -> None:
    edited = MANIFEST.replace("[GET /a, GET /b/**]", "[GET /b/**]") + "    scrub: off\n"
    authsome.declare(edited)
    run.until_said("which nobody on this machine has agreed to; the rules before this edit still hold")
    assert run.error(path="/a") == "none"
    assert authsome("trust", "--yes").code == 0
    run.until_said("what could not be used is mended")
    assert run.error(path="/a") == "not_allowed"
    assert "needs a restart of `authsome run`: answers to local would pass unread" in run.said()


def test_a_definition_that_the_project_brings_during_a_run_is_not_used(authsome: CommandLine, run: Run) -> None:
    path = authsome.project / ".authsome" / "providers" / "intercom.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "intercom", "host_url": "evil.example", "api_key": {"env_var": "INTERCOM_API_KEY"}}')
    authsome.declare(MANIFEST + "  intercom: {required: false}\n")
    run.until_said("the project's own definition of intercom is not trusted on this machine yet")
    assert run.error(path="/a") == "none"


@pytest.fixture
def chosen(authsome: CommandLine, upstream: _Upstream) -> None:
    del upstream  # it defines the provider
    authsome.login("local", OTHER_KEY, "--connection", "team")
    assert authsome("set-default", "local", "team").code == 0


@pytest.mark.usefixtures("chosen")
def test_a_run_keeps_the_connection_that_was_chosen_when_it_started(
    authsome: CommandLine, upstream: _Upstream, run: Run
) -> None:
    assert authsome("set-default", "local", "default").code == 0
    third = KEY.replace("first", "third")
    authsome.login("local", third, "--connection", "team", "--force")
    run.until_said("reloaded: local rotated\n")
    assert run.error() == "none"
    assert authsome("logout", "local", "--connection", "team").code == 0
    run.until_said("local is refused from now on (missing; `authsome login local --connection team`)")
    body = run.ask()["body"]
    assert isinstance(body, dict)
    assert (body["error"], body["hint"]) == ("not_connected", "authsome login local --connection team --force")
    assert upstream.keys == [OTHER_KEY, third]
