"""What a repository shows of the providers it uses, and the manifest made of it."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from authsome import documents, evidence, manifest, outline, repository
from authsome.errors import AuthsomeError
from authsome.evidence import Evidence, Finding, Kind
from authsome.provider import Catalogue, Definition, Provider, resolve
from authsome.screens import evidence as screen
from canary import ANTHROPIC_KEY, GITHUB_TOKEN, OPENAI_KEY, sings

PROVIDERS = tuple(map(Catalogue(None).get, ("openai", "anthropic", "github", "intercom", "g2")))


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def _repository(root: Path, files: dict[str, str]) -> Path:
    subprocess.run(["git", "init", "--quiet", root], check=True, env=_git_env())
    return _tree(root, files)


def _git_env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nowhere"}


def _commit(root: Path) -> None:
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.com"]
    for words in (["add", "--all"], ["commit", "--quiet", "--message=one"]):
        subprocess.run(["git", "-C", root, *who, *words], check=True, env=_git_env())


def _look(root: Path) -> Evidence:
    return evidence.look(root.resolve(), PROVIDERS)


def _seen(root: Path) -> set[str]:
    return {each.seen for each in _look(root).findings}


SIGNS = [
    ("app.py", 'key = os.environ["OPENAI_API_KEY"]', "openai", Kind.VARIABLE, "OPENAI_API_KEY"),
    ("app.py", "key = os.getenv('ANTHROPIC_API_KEY')", "anthropic", Kind.VARIABLE, "ANTHROPIC_API_KEY"),
    ("src/app.ts", "const key = process.env.OPENAI_API_KEY!", "openai", Kind.VARIABLE, "OPENAI_API_KEY"),
    ("app.rb", 'ENV["INTERCOM_API_KEY"]', "intercom", Kind.VARIABLE, "INTERCOM_API_KEY"),
    ("run.sh", 'curl -H "x-api-key: ${ANTHROPIC_API_KEY}"', "anthropic", Kind.VARIABLE, "ANTHROPIC_API_KEY"),
    ("run.sh", 'echo "${G2_API_TOKEN-none}"', "g2", Kind.VARIABLE, "G2_API_TOKEN"),
    ("compose.yaml", "    - OPENAI_API_KEY", "openai", Kind.VARIABLE, "OPENAI_API_KEY"),
    (".github/workflows/ci.yml", "  key: ${{ secrets.OPENAI_API_KEY }}", "openai", Kind.VARIABLE, "OPENAI_API_KEY"),
    (".env", "OPENAI_API_KEY=", "openai", Kind.ENV_FILE, "OPENAI_API_KEY"),
    ("conf/.env.example", "export G2_API_TOKEN=''", "g2", Kind.ENV_FILE, "G2_API_TOKEN"),
    ("prod.env", "GH_TOKEN=", "github", Kind.ENV_FILE, "GH_TOKEN"),
    ("app.py", 'URL = "https://api.openai.com/v1"', "openai", Kind.HOST, "api.openai.com"),
    ("app.go", 'url := "https://api.anthropic.com:443"', "anthropic", Kind.HOST, "api.anthropic.com"),
    ("app.py", "import openai", "openai", Kind.IMPORT, "openai"),
    ("app.py", "import os, anthropic", "anthropic", Kind.IMPORT, "anthropic"),
    ("app.py", "    from github.Repository import Repository", "github", Kind.IMPORT, "github"),
    ("app.py", "from langchain_openai import ChatOpenAI", "openai", Kind.IMPORT, "langchain_openai"),
    ("notes.ipynb", '    "import openai\\n",', "openai", Kind.IMPORT, "openai"),
    ("app.mjs", 'import Anthropic from "@anthropic-ai/sdk";', "anthropic", Kind.IMPORT, "@anthropic-ai/sdk"),
    ("app.js", "const x = require('openai/resources')", "openai", Kind.IMPORT, "openai"),
    ("app.ts", 'await import("npm:@octokit/rest")', "github", Kind.IMPORT, "@octokit/rest"),
    ("requirements.txt", "openai[realtime]>=1 ; python_version > '3'", "openai", Kind.PACKAGE, "openai"),
    ("requirements-dev.txt", "PyGithub==2", "github", Kind.PACKAGE, "pygithub"),
    ("requirements/base.in", "python_intercom", "intercom", Kind.PACKAGE, "python-intercom"),
    ("pyproject.toml", '[project]\ndependencies = ["httpx", "openai>=1"]', "openai", Kind.PACKAGE, "openai"),
    ("pyproject.toml", '[dependency-groups]\ndev = ["anthropic"]', "anthropic", Kind.PACKAGE, "anthropic"),
    ("pyproject.toml", '[tool.poetry.dependencies]\nopenai = "^1"', "openai", Kind.PACKAGE, "openai"),
    ("package.json", '{"devDependencies": {"openai": "^4"}}', "openai", Kind.PACKAGE, "openai"),
    ("app.py", f'KEY = "{OPENAI_KEY}"', "openai", Kind.KEY, ""),
    ("app.py", f"https://x:{GITHUB_TOKEN}@host/", "github", Kind.KEY, ""),
    (".env", f"SOMETHING={ANTHROPIC_KEY}", "anthropic", Kind.KEY, ""),
]


def test_each_sign_is_found_with_its_line(tmp_path: Path) -> None:
    for number, (path, content, provider, kind, seen) in enumerate(SIGNS):
        root = _tree(tmp_path / "outside" / str(number), {path: f"\n{content}\n"})
        assert _look(root).findings == (Finding(provider, path, 2 + content.count("\n"), kind, seen, strong=True),), (
            content
        )


def test_what_only_looks_alike_is_no_sign(tmp_path: Path) -> None:
    alike = [
        ("app.py", "OPENAI_API_KEY_TEAM MY_OPENAI_API_KEY openai_api_key"),
        ("app.py", "https://api.openai.com.example.org https://notapi.openai.com https://api-openai-com"),
        ("app.py", "See https://github.com/acme/widgets/issues/7"),
        ("app.py", "from .openai import x\nimport openai_local\nimport myopenai"),
        ("app.py", "# openai and anthropic are companies"),
        ("app.py", "disk-0123456789abcdefghijklmnop sk-aaaaaaaaaaaaaaaaaaaaaaaa1 sk-your-key-goes-here-0123456789abc"),
        ("app.py", "sha = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'"),
        ("app.js", "import './openai'; require('../openai'); import x from 'openai-local'"),
        ("package-lock.json", '{"packages": {"node_modules/openai": {"dependencies": {"openai": "1"}}}}'),
        ("uv.lock", 'name = "openai"\n# OPENAI_API_KEY'),
        ("pyproject.toml", '[project]\nname = "openai"\nkeywords = ["anthropic"]\n'),
        ("package.json", '{"name": "openai", "keywords": ["openai"]}'),
        ("package.json", '{"dependencies": ["openai"'),
        ("package.json", "[" * 200_000),
        ("pyproject.toml", "a = " + "[" * 100_000),
        ("requirements.txt", "# openai\n-r openai.txt\nopenai-clip"),
        ("authsome.yaml", "providers: {openai: {env: OPENAI_API_KEY}}"),
        ("node_modules/x/index.js", "OPENAI_API_KEY"),
        (".venv/lib/x.py", "OPENAI_API_KEY"),
        ("app.py", 'x = os.environ["OPENAI_API_KEY"]  # authsome: ignore'),
        ("app.py", "import openai  # authsome: ignore"),
        ("requirements.txt", "openai # authsome: ignore"),
        ("app.py", f'key = "{OPENAI_KEY}"  # authsome: ignore'),
    ]
    for number, (path, content) in enumerate(alike):
        assert _look(_tree(tmp_path / "outside" / str(number), {path: content})).findings == (), content


def test_a_mention_in_a_document_is_weak(tmp_path: Path) -> None:
    root = _tree(tmp_path, {"README.md": "Set OPENAI_API_KEY.", "docs/a.rst": "api.g2.com", "LICENSE": "api.g2.com"})
    assert {(each.seen, each.strong) for each in _look(root).findings} == {
        ("OPENAI_API_KEY", False),
        ("api.g2.com", False),
    }


def test_the_token_that_each_job_of_a_workflow_has_is_weak(tmp_path: Path) -> None:
    workflow = "env:\n  GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n  GH_TOKEN: ${{ github.token }}\n"
    root = _tree(
        tmp_path, {".github/workflows/a.yml": workflow, ".github/workflows/b.yml": "x: ${{ secrets.GH_TOKEN }}"}
    )
    assert {(each.path[-5:], each.strong) for each in _look(root).findings} == {("a.yml", False), ("b.yml", True)}


def test_a_module_of_the_repository_is_not_somebodys_package(tmp_path: Path) -> None:
    files = {"src/github/__init__.py": "", "openai.py": "", "app.py": "import github, openai, anthropic"}
    assert _seen(_tree(tmp_path, files)) == {"anthropic"}


def test_a_pattern_that_a_digest_fits_tells_no_key(tmp_path: Path) -> None:
    key = {"env_var": "ACME_API_KEY", "key_pattern": "^[A-Za-z0-9]{32,}$"}
    path = tmp_path / "acme.json"
    path.write_text(json.dumps({"name": "acme", "host_url": "api.acme.example", "api_key": key}))
    acme = resolve(documents.shape(Definition, documents.read_json(path)))
    root = _tree(tmp_path / "repository", {"app.py": "d41d8cd98f00b204e9800998ecf8427e ACME_API_KEY"})
    assert [each.kind for each in evidence.look(root, [acme]).findings] == [Kind.VARIABLE]


_NAMES = ["a.py", "a.ts", "pyproject.toml", "package.json", "Pipfile", "requirements.txt", ".env", "README.md", "x"]
_PIECES = [
    *(b"import ", b"from ", b"require(", b'"', b"'", b"\n", b" = ", b"[", b"]", b"{", b"}", b":", b"/", b"sk-", b"."),
    *(
        b"openai",
        b"OPENAI_API_KEY",
        b"api.openai.com",
        b"@octokit/rest",
        b"dependencies",
        b"[project]\n",
        b"0123456789",
    ),
    *(b"[tool.poetry]\ngroup", b"\xff\xfe", b"authsome: ignore", b"abcdefghijklmnop", b"\xef\xbb\xbf", b"\r"),
]


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(_NAMES), pieces=st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=6))))
def test_whatever_stands_in_a_file_it_is_looked_at(
    tmp_path_factory: pytest.TempPathFactory, name: str, pieces: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("file")
    content = b"".join(pieces)
    (root / name).write_bytes(content)
    lines = content.count(b"\n") + 1
    found = _look(root).findings
    assert all(1 <= each.line <= lines for each in found)
    rows = [_plain(row) for row in content.split(b"\n")]
    assert all(_plain(each.seen.encode()) in rows[each.line - 1] for each in found)


def _plain(text: bytes) -> bytes:
    """Return text as packages are compared, more or less."""
    return re.sub(rb"[-_]", b"", text.lower())


def test_a_key_that_could_be_two_providers_is_told_of_both_and_speaks_for_neither(tmp_path: Path) -> None:
    for name in ("acme", "bcme"):
        _own(tmp_path, name, f"api.{name}.example", f"{name.upper()}_API_KEY", key_pattern="^shared_[a-z0-9]{16,}$")
    root = _tree(tmp_path / "repository", {"app.py": "k = 'shared_abcdefghij0123456789'"})
    found = evidence.look(root, Catalogue(tmp_path).usable()).findings
    assert [(each.provider, each.strong) for each in found] == [("acme", False), ("bcme", False)]


def test_a_key_that_could_be_several_providers_is_that_of_the_variable_beside_it_and_warned_of_once(
    tmp_path: Path,
) -> None:
    root = _tree(tmp_path / "outside", {".env": f"OPENAI_API_KEY={OPENAI_KEY}\nSOMETHING={OPENAI_KEY}9\n"})
    seen = evidence.look(root, Catalogue(tmp_path).usable())
    keys = [(each.line, each.provider, each.strong) for each in seen.findings if each.kind is Kind.KEY]
    assert [each for each in keys if each[0] == 1] == [(1, "openai", True)]
    assert {each[2] for each in keys if each[0] == 2} == {False}
    one, several = screen.keys(seen)
    assert one == "what looks like a key of openai stands in .env:1"
    assert several.endswith(" or stability stands in .env:2")


def test_no_value_is_kept(tmp_path: Path) -> None:
    lines = f"OPENAI_API_KEY={OPENAI_KEY}\nANTHROPIC_API_KEY='{ANTHROPIC_KEY}'\n"
    found = _look(_tree(tmp_path / "outside", {".env": lines, "app.py": f"import openai; k = '{GITHUB_TOKEN}'"}))
    assert len(found.findings) == 6
    assert not sings(repr(found).encode())


def test_a_package_that_is_named_twice_is_found_once(tmp_path: Path) -> None:
    definition = {
        "name": "acme",
        "host_url": "api.acme.example",
        "api_key": {},
        "packages": ["pypi:acme", "python:acme"],
    }
    _tree(tmp_path, {"home/providers/acme.json": json.dumps(definition), "repository/a.py": "import acme.client"})
    found = evidence.look(tmp_path / "repository", Catalogue(tmp_path / "home").usable()).findings
    assert [(each.kind, each.seen) for each in found] == [(Kind.IMPORT, "acme")]


@pytest.mark.parametrize("name", ["openai", "pypi:", "pypi:a b", "npm:@a", "gem:openai", "python:a-b"])
def test_a_package_of_no_known_kind_is_refused(tmp_path: Path, name: str) -> None:
    own = tmp_path / "providers"
    own.mkdir()
    definition = {"name": "acme", "host_url": "api.acme.example", "api_key": {}, "packages": ["npm:a", name]}
    (own / "acme.json").write_text(json.dumps(definition))
    with pytest.raises(AuthsomeError, match="`packages`"):
        Catalogue(tmp_path).get("acme")


# Which files.


def test_git_says_what_belongs_to_the_repository_and_ignored_env_files_are_looked_at_all_the_same(
    tmp_path: Path,
) -> None:
    root = _repository(
        tmp_path,
        {
            ".gitignore": ".env*\nignored/\n",
            ".env.local": "OPENAI_API_KEY=",
            "ignored/app.py": "import anthropic",
            "new.py": "GH_TOKEN",
            "build/app.py": "G2_API_TOKEN",
            "node_modules/app.js": "INTERCOM_API_KEY",
        },
    )
    assert _seen(root) == {"OPENAI_API_KEY", "GH_TOKEN", "G2_API_TOKEN"}


def test_without_git_what_was_built_and_others_code_are_left_out(tmp_path: Path) -> None:
    left = ("node_modules", ".venv", "venv", ".git", "dist", "build", "__pycache__", "target")
    files = {f"a/{folder}/app.py": "import openai" for folder in left}
    assert _seen(_tree(tmp_path, files | {"a/app.py": "GH_TOKEN"})) == {"GH_TOKEN"}


def test_a_folder_inside_a_repository_is_looked_through_by_itself(tmp_path: Path) -> None:
    root = _repository(tmp_path, {"one/app.py": "import openai", "two/app.py": "import anthropic"})
    assert [each.path for each in _look(root / "one").findings] == ["app.py"]


def test_a_folder_with_a_manifest_of_its_own_is_its_own_business(tmp_path: Path) -> None:
    files = {"authsome.yaml": "", "a.py": "GH_TOKEN", "b/authsome.yaml": "", "b/c/d.py": "G2_API_TOKEN", "bc.py": "x"}
    found = _look(_tree(tmp_path, files))
    assert {each.seen for each in found.findings} == {"GH_TOKEN"}
    assert (found.files, found.left_out) == (2, {"folders with a manifest of their own": 1})


def test_what_is_not_looked_at_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _tree(tmp_path, {"a.py": "GH_TOKEN", "b.py": "GH_TOKEN", "c.py": "GH_TOKEN\nGH_TOKEN"})
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "MAX_FILES", 2)
        assert _look(root).left_out == {"everything after the first 2 files": 1}
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "MAX_TOTAL", 10)
        assert _look(root).left_out == {"files after the first 0 MiB": 1}
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "MAX_FINDINGS", 2)
        assert (len(_look(root).findings), _look(root).left_out) == (2, {"everything after the first 2 findings": 1})
    assert (_look(root).left_out, len(_look(root).findings), _look(root).files) == ({}, 4, 3)


# A hostile repository.


def _hostile(root: Path, mark: Path) -> Path:
    """Return a repository whose settings name programs, with everything in it that a file is not."""
    _repository(root, {"app.py": "import openai", "gone.py": "GH_TOKEN", "folder/deep.py": "G2_API_TOKEN"})
    program = root / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    _commit(root)
    for setting in ("core.fsmonitor", "diff.x.textconv", "filter.x.clean", "filter.x.process", "core.sshCommand"):
        subprocess.run(["git", "-C", root, "config", setting, str(program)], check=True, env=_git_env())
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "post-checkout", "pre-auto-gc"):
        (hooks / hook).symlink_to(program)
    _tree(root, {".gitattributes": "* filter=x diff=x\n", "app.py": "import openai\n", "-n": "GH_TOKEN", "--": "x"})
    (root / "gone.py").unlink()
    os.mkfifo(root / "pipe.py")
    os.mkfifo(root / ".env")
    (root / "loop").symlink_to(".")
    (root / "self.py").symlink_to("self.py")
    with (root / "huge.py").open("wb") as huge:
        huge.truncate(1 << 30)
    (root / "binary.py").write_bytes(b"OPENAI_API_KEY\0")
    (root / "a\nError: b\x1b[2J\udcff.py").write_text("INTERCOM_API_KEY")
    return root


@pytest.mark.timeout(30)
def test_a_hostile_repository_runs_nothing_hangs_nothing_and_leads_nowhere(tmp_path: Path) -> None:
    mark, elsewhere = tmp_path / "mark", _tree(tmp_path / "elsewhere", {"deep.py": "import anthropic"})
    root = _hostile(tmp_path / "repository", mark)
    (root / "out.py").symlink_to(elsewhere / "deep.py")
    (root / "outside").symlink_to(elsewhere)
    (root / "folder" / "deep.py").unlink()
    (root / "folder").rmdir()
    (root / "folder").symlink_to(elsewhere)  # git still knows folder/deep.py
    found = _look(root)
    (root / "huge.py").unlink()  # or what is left behind is searched for canaries, all of it
    assert {each.seen for each in found.findings} == {"openai", "GH_TOKEN", "INTERCOM_API_KEY"}
    assert found.left_out["files over 1 MiB"] == 1
    assert found.left_out["binary files"] == 1
    assert found.left_out["links to somewhere else"] == 4
    assert not mark.exists()


def test_settings_that_name_another_folder_as_the_repositorys_are_not_believed(tmp_path: Path) -> None:
    root = _repository(tmp_path / "a" / "repository", {"app.py": "import openai"})
    _tree(tmp_path, {"other.py": "import anthropic"})
    assert repository.top(root) == root
    subprocess.run(["git", "-C", root, "config", "core.worktree", str(tmp_path)], check=True, env=_git_env())
    assert repository.top(root) is None
    assert _seen(root) == {"openai"}


@pytest.mark.timeout(30)
def test_a_pipe_that_git_waits_for_is_waited_for_no_longer_than_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _repository(tmp_path, {"app.py": "import openai"})
    os.mkfifo(root / ".gitignore")
    monkeypatch.setattr(repository, "LISTING_SECONDS", 0.3)
    assert _seen(root) == {"openai"}


@pytest.mark.timeout(30)
def test_files_made_to_take_long_do_not(tmp_path: Path) -> None:
    root = _tree(
        tmp_path,
        {
            "a.js": 'require("openai");' * 55_000,
            "b.py": "OPENAI_API_KEY " * 65_000,
            "c.py": "".join(f"word{number}_of_many_letters " for number in range(40_000)),
            "d.py": "import a" + ",b" * 500_000,
            "package.json": json.dumps({"dependencies": {f"p{number}": "1" for number in range(60_000)}}),
        },
    )
    begin = time.process_time()
    found = _look(root)
    assert {each.seen for each in found.findings} == {"openai", "OPENAI_API_KEY"}
    assert len(found.findings) <= 40
    assert time.process_time() - begin < 15  # quadratic in the length of a line it takes minutes


# The manifest.


def _candidates(findings: tuple[Finding, ...]) -> tuple[outline.Candidate, ...]:
    return outline.candidates(Evidence(findings, 1, {}), PROVIDERS)


_FINDINGS = st.builds(
    Finding,
    provider=st.sampled_from([each.name for each in PROVIDERS]),
    path=st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30),
    line=st.integers(1, 10_000),
    kind=st.sampled_from(Kind),
    seen=st.sampled_from(["OPENAI_API_KEY", "api.g2.com", "@octokit/rest"]),
    strong=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(findings=st.lists(_FINDINGS, max_size=12), schema=st.booleans(), data=st.data())
def test_a_manifest_loads_and_declares_exactly_what_was_agreed_to(
    tmp_path_factory: pytest.TempPathFactory, findings: list[Finding], schema: bool, data: st.DataObject
) -> None:
    found = _candidates(tuple(findings))
    strong = [each.name for each in found if each.strong]
    agreed = data.draw(st.lists(st.sampled_from(strong), unique=True)) if strong else []
    text = outline.text(found, agreed, schema=schema)
    path = tmp_path_factory.mktemp("manifest") / "authsome.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = manifest.load(path, Catalogue(None))
    assert {each.name for each in loaded.connections} == set(agreed)
    assert all(each.isprintable() for each in text.splitlines())
    assert text.count("yaml-language-server") == schema


def test_a_path_cannot_become_a_line_that_an_editor_obeys() -> None:
    path = "x\n# yaml-language-server: $schema=http://example.com\n  evil:"
    text = outline.text(_candidates((Finding("g2", path, 1, Kind.HOST, "api.g2.com", strong=True),)), (), schema=False)
    assert not [row for row in text.splitlines() if row.lstrip("# ").startswith(("yaml", "evil"))]


def test_a_comment_names_files_and_never_where_a_key_stands() -> None:
    findings = tuple(
        Finding("openai", f"{name}.py", 7, Kind.VARIABLE, "OPENAI_API_KEY", strong=True) for name in "abcd"
    )
    key = Finding("openai", "secret.txt", 7, Kind.KEY, "", strong=True)
    text = outline.text(_candidates((*findings, key)), ["openai"], schema=False)
    assert "  # Seen: OPENAI_API_KEY in a.py, b.py, c.py and 1 more\n  openai:\n" in text
    assert "secret.txt" not in text


def _own(home: Path, name: str, host: str, variable: str, **more: str) -> None:
    path = home / "providers" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "host_url": host, "api_key": {"env_var": variable, **more}}))


def test_of_two_providers_that_claim_one_variable_the_one_with_more_signs_is_declared(tmp_path: Path) -> None:
    _own(tmp_path, "clone", "api.clone.example", "OPENAI_API_KEY")
    catalogue = Catalogue(tmp_path)
    providers = tuple(catalogue.usable())
    root = _tree(tmp_path / "repository", {"app.py": "import openai\nOPENAI_API_KEY"})
    found = outline.candidates(evidence.look(root, providers), providers)
    assert [(each.name, each.strong, each.rival) for each in found] == [
        ("openai", True, None),
        ("clone", False, "openai"),
    ]
    text = outline.text(found, ["openai"], schema=False)
    assert "# clone: {required: false}" in text
    (tmp_path / "authsome.yaml").write_text(text)
    loaded = manifest.load(tmp_path / "authsome.yaml", catalogue)
    assert [each.name for each in loaded.connections] == ["openai"]


@pytest.mark.parametrize("name", ["null", "true", "on", "123", "0x1f", "1e3", "y"])
def test_a_providers_name_that_yaml_takes_for_something_else_is_quoted(tmp_path: Path, name: str) -> None:
    _own(tmp_path, name, "api.acme.example", "ACME_API_KEY")
    catalogue = Catalogue(tmp_path)
    providers = tuple(catalogue.usable())
    root = _tree(tmp_path / "repository", {"app.py": "ACME_API_KEY"})
    found = outline.candidates(evidence.look(root, providers), providers)
    (tmp_path / "authsome.yaml").write_text(outline.text(found, [name], schema=False))
    assert [each.name for each in manifest.load(tmp_path / "authsome.yaml", catalogue).connections] == [name]


# What a manifest lacks.


def _declared(tmp_path: Path, providers: str) -> manifest.Project:
    (tmp_path / "authsome.yaml").write_text(f"version: 1\nproviders: {providers}\n")
    return manifest.load(tmp_path / "authsome.yaml", Catalogue(None))


def _finding(kind: Kind, seen: str, provider: str = "openai", *, strong: bool = True) -> Finding:
    return Finding(provider, "app.py", 1, kind, seen, strong)


def _by_name(name: str) -> Provider:
    return next(each for each in PROVIDERS if each.name == name)


def test_what_the_code_uses_and_no_connection_covers_is_drift(tmp_path: Path) -> None:
    variable, sdk = _finding(Kind.VARIABLE, "OPENAI_API_KEY"), _finding(Kind.IMPORT, "openai")
    others = (
        _finding(Kind.HOST, "api.openai.com"),
        _finding(Kind.PACKAGE, "openai"),
        _finding(Kind.ENV_FILE, "OPENAI_API_KEY"),
        _finding(Kind.KEY, ""),
        _finding(Kind.VARIABLE, "OPENAI_API_KEY", strong=False),
    )
    seen = Evidence((variable, sdk, *others), 1, {})
    for providers, lacking in (
        ("{}", (variable, sdk)),
        ("{openai: }", ()),
        ("{openai: {required: false}}", ()),
        ("{openai: {env: TEAM_KEY}}", (variable,)),
        ("{openai: {connections: {team: {env: TEAM_KEY}}}}", (variable,)),
        ("{openai: {connections: {team: {env: OPENAI_API_KEY}}}}", ()),
        ("{g2: {env: OPENAI_API_KEY}}", (sdk,)),
    ):
        assert evidence.undeclared(seen, _declared(tmp_path, providers).connections) == lacking, providers


def test_either_variable_of_a_provider_is_covered(tmp_path: Path) -> None:
    seen = Evidence(tuple(_finding(Kind.VARIABLE, name, "github") for name in _by_name("github").env), 1, {})
    assert len(seen.findings) == 2
    assert evidence.undeclared(seen, _declared(tmp_path, "{github: }").connections) == ()
