import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from authsome import manifest
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Allowed
from authsome.provider import Catalogue

EXAMPLE = Path(__file__).parent.parent / "authsome.example.yaml"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "home")


def _load(tmp_path: Path, catalogue: Catalogue, text: str) -> manifest.Project:
    path = tmp_path / "authsome.yaml"
    path.write_text(text)
    return manifest.load(path, catalogue)


def test_the_example_loads_and_shows_every_key(catalogue: Catalogue) -> None:
    project = manifest.load(EXAMPLE, catalogue)
    assert [each.name for each in project.connections] == [
        *("openai", "anthropic", "github", "intercom", "intercom/support"),
    ]
    text = EXAMPLE.read_text()
    for kind in (manifest.Manifest, manifest.ProviderEntry, manifest.ConnectionEntry, manifest.Egress):
        for key in kind.__dataclass_fields__:
            assert f"{key}:" in text


def test_settings_of_a_provider_hold_for_its_connections(tmp_path: Path, catalogue: Catalogue) -> None:
    project = _load(
        tmp_path,
        catalogue,
        """
        version: 1
        providers:
          openai:
            why: models
            required: false
            allow: [GET /v1/**]
            connections:
              default:
              team: {required: true, why: batch, allow: [], env: TEAM_KEY}
        """,
    )
    default, team = project.connections
    assert (default.required, default.why, default.allow) == (False, "models", (Allowed("GET", "/v1/**"),))
    assert (team.required, team.why, team.allow) == (True, "batch", ())
    assert default.env == {"OPENAI_API_KEY": "api_key"}
    assert team.env == {"TEAM_KEY": "api_key"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("providers: {}\n", ":1: `version` is missing", None),
        ("version: 2\n", ":1: `version`", None),
        ("version: true\n", ":1: does not have the expected form", None),
        ("version: '1'\n", ":1: `version`", None),
        ("version: 1\nprovider: {}\n", ":2: unknown key `provider`", "did you mean `providers`?"),
        ("version: 1\nproviders:\n  opnai:\n", ":3: there is no provider `opnai`", "did you mean `openai`?"),
        ("version: 1\nproviders:\n  ../x:\n", ":3: '../x' is not a provider name", None),
        ("version: 1\nproviders:\n  openai:\n    alow: []\n", ":4: unknown key `alow`", "did you mean `allow`?"),
        ("version: 1\nproviders:\n  openai:\n    allow: [v1]\n", ":3: 'v1' is not of the form", None),
        ("version: 1\nproviders:\n  openai: {connections: {}}\n", ":3: `connections` is empty", None),
        ("version: 1\nproviders:\n  openai: {connections: {A: }}\n", ":3: 'A' is not a connection name", None),
        ("version: 1\nproviders:\n  openai: {env: A, connections: {a: }}\n", ":3: `providers.openai`: `env`", None),
        ("version: 1\nproviders:\n  openai: {env: A=B}\n", ":3: 'A=B' is not an environment variable", None),
        ("version: 1\nprofile: a/b\n", ":2: 'a/b' is not a profile name", None),
        ("version: 1\negress: {default: open}\n", ":2: `egress.default`", None),
        ("version: 1\negress:\n  allow: ['*.example.com']\n", ":3: `*.example.com` is a pattern", None),
        (
            "version: 1\nproviders:\n  openai: {env: X_KEY}\n  g2: {env: X_KEY}\n",
            ":4: `g2` and `openai` both set X_KEY",
            "env: X_KEY_2",
        ),
        ("", ":1: is empty", "version: 1"),
    ],
)
def test_a_wrong_manifest_is_one_error_with_file_and_line(
    tmp_path: Path, catalogue: Catalogue, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(AuthsomeError) as caught:
        _load(tmp_path, catalogue, text)
    assert caught.value.code is ExitCode.INVALID
    assert caught.value.message.startswith(f"{tmp_path}/authsome.yaml{message}")
    assert (hint or "") in (caught.value.hint or "")


def test_the_manifest_is_found_upwards(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert manifest.find(below) is None
    (tmp_path / "authsome.yaml").write_text("version: 1\n")
    assert manifest.find(below) == tmp_path / "authsome.yaml"
    (tmp_path / "a" / "authsome.yaml").write_text("version: 1\n")
    assert manifest.find(below) == tmp_path / "a" / "authsome.yaml"
    assert manifest.find(below, "../../authsome.yaml") == below / "../../authsome.yaml"


def test_a_named_manifest_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AuthsomeError, match="there is no manifest at"):
        manifest.find(tmp_path, "other.yaml")


def test_without_a_manifest_every_default_connection_is_served(catalogue: Catalogue) -> None:
    project = manifest.default_project(catalogue, [("g2", "default"), ("openai", "team"), ("gone", "default")])
    assert [(each.name, each.required) for each in project.connections] == [("g2", False)]


@pytest.mark.parametrize("name", ["TEAM_API_KEY", "BULK_TOKEN_2", "GITHUB_BOT_TOKEN", "SECRET", "OPENAI_API_KEY"])
def test_a_manifest_may_name_a_variable_that_looks_like_a_key(tmp_path: Path, catalogue: Catalogue, name: str) -> None:
    project = _load(tmp_path, catalogue, f"version: 1\nproviders: {{openai: {{env: {name}}}}}\n")
    assert list(project.connections[0].env) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PYTHONPATH", "LD_PRELOAD", "LD_SECRET", "HTTPS_PROXY", "SSL_CERT_FILE", "BASH_ENV", "HOME", "IFS"),
        *(
            "NODE_OPTIONS",
            "GIT_TOKEN",
            "AUTHSOME_HOME",
            "AUTHSOME_TOKEN",
            "XDG_RUNTIME_DIR",
            "MONKEY",
            "api_key",
            "A=B",
        ),
    ],
)
def test_a_manifest_may_not_name_a_variable_that_other_programs_read(
    tmp_path: Path, catalogue: Catalogue, name: str
) -> None:
    with pytest.raises(AuthsomeError, match="is not"):
        _load(tmp_path, catalogue, f"version: 1\nproviders: {{openai: {{env: '{name}'}}}}\n")


def test_two_providers_may_not_claim_one_host(tmp_path: Path, catalogue: Catalogue) -> None:
    folder = tmp_path / "home" / "providers"
    folder.mkdir(parents=True)
    mine = {"name": "mine", "host_url": "api.openai.com", "api_key": {}}
    (folder / "mine.json").write_text(json.dumps(mine))
    with pytest.raises(AuthsomeError, match="`mine` and `openai` both claim api.openai.com"):
        _load(tmp_path, catalogue, "version: 1\nproviders:\n  openai:\n  mine:\n")
    with pytest.raises(AuthsomeError, match="both claim api.openai.com"):
        manifest.default_project(catalogue, [("mine", "default"), ("openai", "default")])


def test_two_providers_whose_hosts_are_settings_clash_only_if_these_make_the_same_host(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    folder = tmp_path / "home" / "providers"
    folder.mkdir(parents=True)
    for name in ("one", "other"):
        fields = {"host": {"secret": False, "pattern": r"^[a-z.]+\.example$"}, "api_key": {}}
        made = {"name": name, "host_url": "{host}", "fields": fields, "inject": [{"value": "Bearer {api_key}"}]}
        (folder / f"{name}.json").write_text(json.dumps(made))
    project = _load(tmp_path, catalogue, "version: 1\nproviders:\n  one:\n  other:\n")

    def settled(*hosts: str) -> manifest.Project:
        pairs = zip(project.connections, hosts, strict=True)
        filled = (replace(each, provider=each.provider.filled({"host": host})) for each, host in pairs)
        return project.settled(tuple(filled))

    assert [str(each.provider.hosts[0]) for each in settled("a.example", "b.example").connections] == [
        *("a.example", "b.example"),
    ]
    with pytest.raises(AuthsomeError, match=r"`one` and `other` both claim a\.example"):
        settled("a.example", "a.example")


@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")])
def test_all_hosts_below_a_name_are_not_shared_with_all_hosts_below_one_of_them(
    tmp_path: Path, catalogue: Catalogue, order: tuple[str, str]
) -> None:
    folder = tmp_path / "home" / "providers"
    folder.mkdir(parents=True)
    for name, host in (("one", "*.acme.example"), ("other", "*.svc.acme.example")):
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "host_url": host, "api_key": {}}))
    with pytest.raises(AuthsomeError, match=r"both claim \*\.svc\.acme\.example"):
        _load(tmp_path, catalogue, "version: 1\nproviders:\n  {}:\n  {}:\n".format(*order))


@pytest.mark.skipif(os.getuid() != 0, reason="giving a file away needs root")
def test_a_manifest_that_somebody_else_put_into_a_common_folder_is_refused(tmp_path: Path) -> None:
    common, below = tmp_path / "common", tmp_path / "common" / "mine"
    below.mkdir(parents=True)
    common.chmod(0o1777)
    (common / "authsome.yaml").write_text("version: 1\n")
    assert manifest.find(below)
    os.chown(common / "authsome.yaml", 65534, 65534)
    with pytest.raises(AuthsomeError, match="belongs to another user") as caught:
        manifest.find(below)
    assert caught.value.code is ExitCode.UNTRUSTED
