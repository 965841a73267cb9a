"""The directory listing is the architecture: imports point one way, and each outside library has one owner."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import authsome
from authsome.provider import Catalogue
from authsome.vault import Vault
from canary import OPENAI_KEY

PACKAGE = Path(authsome.__file__).parent
ORDER = (
    *(
        "errors",
        "web",
        "documents",
        "git",
        "repository",
        "provider",
        "grants",
        "manifest",
        "vault",
        "register",
        "trust",
    ),
    *("lint", "search", "sketch"),
    *("pasted", "envfile", "found", "committed", "evidence", "outline", "plan", "oauth"),
    *("bridge", "session", "renewal", "rules", "fake", "why", "trial"),
    *(
        "proxy",
        "outside",
        "probe",
        "errand",
        "origin",
        "reload",
        "isolation",
        "child",
        "export",
        "audit",
        "demo",
        "clients",
        "completion",
        "schemas",
        "screens",
        "cli",
    ),
)
OWNERS = {
    "pyrage": {"vault.age"},
    "mitmproxy": {"proxy.engine"},
    "h11": {"proxy.http1", "proxy.reach"},
    "h2": {"proxy.http2"},
    "hyperscan": {"proxy.sieve"},
    "OpenSSL": {"proxy.channel"},
    "dotenv": {"envfile"},
    "keyring": {"vault.keychain"},
    "secretstorage": {"vault.keychain"},
    "ruamel": {"documents"},
    "pydantic": {"documents"},
    "typer": {"cli.frame"},
    "cryptography": {"oauth.keys", "proxy.authority", "proxy.channel", "origin", "vault.passphrase"},
    "certifi": {"proxy.upstream"},
    "publicsuffixlist": {"provider.suffixes"},
    "aiohappyeyeballs": {"proxy.dial"},
    "brotli": {"proxy.codings"},
    "wsproto": {"proxy.websocket"},
    "zstandard": {"proxy.codings"},
    "watchfiles": {"reload"},
    "authlib": {"oauth.conversation"},
    "joserfc": {"oauth.keys"},
    "httpx": {"web"},
    "httpcore": {"outside.wire"},
    "jinja2": {"bridge.web"},
    "werkzeug": {"bridge.awaited", "bridge.guard", "bridge.page", "bridge.server", "bridge.web"},
}
WEB = ("mitmproxy", "httpx", "httpcore", "authlib", "joserfc", "rich", "asyncio", "ssl", "werkzeug", "jinja2")
"""What a command that sends nothing has no use for."""
WORDS_NOT_USED = ("manager", "service", "layer", "context", "helper", "utils", "handler")


@cache
def _modules() -> tuple[tuple[str, ast.Module], ...]:
    return tuple(_read())


def _read() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name not in ("__init__", "__main__"):
            yield name, ast.parse(path.read_text())


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports when it runs, as dotted names; imports for the type checker do not count."""
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_its_place_in_the_order() -> None:
    assert {name.partition(".")[0] for name, _ in _modules()} == set(ORDER)


def test_imports_point_one_way() -> None:
    wrong = [
        (name, target)
        for name, tree in _modules()
        for target in _imports(tree)
        if target.startswith("authsome.")
        and (other := target.split(".")[1]) in ORDER
        and ORDER.index(other) > ORDER.index(name.partition(".")[0])
    ]
    assert wrong == []


def test_each_outside_library_has_one_owner() -> None:
    standard = sys.stdlib_module_names
    used: dict[str, set[str]] = {}
    for name, tree in _modules():
        for target in _imports(tree):
            library = target.partition(".")[0]
            if library not in standard and library != "authsome":
                used.setdefault(library, set()).add(name)
    assert used == OWNERS


def test_only_the_command_line_prints_and_exits() -> None:
    calls = [
        (name, ast.unparse(node.func))
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit", "os._exit")
    ]
    assert {name.partition(".")[0] for name, _ in calls} == {"cli"}


@pytest.mark.parametrize("word", WORDS_NOT_USED)
def test_no_class_or_module_is_named_with_a_word_that_says_nothing(word: str) -> None:
    named = [
        (name, node.name)
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and word in node.name.lower()
        # The engine subclasses mitmproxy's layers and handlers and keeps their names.
        and name != "proxy.engine"
    ]
    assert named == []


def test_functions_fit_on_a_screen() -> None:
    long = [
        (name, node.name, node.end_lineno - node.lineno + 1)
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 50
    ]
    assert long == []


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--version"], ["pydantic", "ruamel.yaml", "pyrage", "cryptography", "mitmproxy", "asyncio", "rich", "ssl"]),
        (["list"], ["pydantic", "ruamel.yaml", "cryptography", "mitmproxy", "asyncio", "rich", "ssl", "werkzeug"]),
        (["help", "exit-codes"], ["pydantic", "ruamel.yaml", "pyrage", "cryptography", "mitmproxy", "rich", "ssl"]),
        (["__complete", "zsh", "1", "authsome", "lo"], ["pydantic", "ruamel.yaml", "pyrage", "mitmproxy", "rich"]),
        (["completion", "bash"], ["pydantic", "ruamel.yaml", "pyrage", "cryptography", "mitmproxy", "rich", "ssl"]),
        (["whoami"], ["pydantic", "ruamel.yaml", "cryptography", "mitmproxy", "asyncio", "rich", "ssl", "werkzeug"]),
        (["inspect", "openai"], ["pydantic", "ruamel.yaml", "cryptography", "mitmproxy", "asyncio", "rich", "ssl"]),
        (["--help"], [*WEB, "pydantic", "ruamel.yaml", "pyrage", "cryptography"]),
        (["login", "--help"], [*WEB, "pydantic", "ruamel.yaml", "pyrage", "cryptography"]),
        (["schema"], [*WEB, "pydantic", "ruamel.yaml", "pyrage", "cryptography", "authsome.vault"]),
        (["schema", "--list", "--json"], [*WEB, "pydantic", "ruamel.yaml", "pyrage", "cryptography"]),
        (["get", "openai", "--field", "status"], [*WEB, "pydantic", "ruamel.yaml", "cryptography"]),
        (["get", "openai", "--json"], [*WEB, "pydantic", "ruamel.yaml", "cryptography"]),
        (["export"], [*WEB, "pydantic", "ruamel.yaml", "cryptography"]),
        (["check", "--json"], [*WEB, "pydantic", "ruamel.yaml", "cryptography"]),
        (["list", "--json"], [*WEB, "pydantic", "ruamel.yaml", "cryptography"]),
    ],
)
def test_a_command_imports_nothing_it_does_not_use(arguments: list[str], unwanted: list[str], tmp_path: Path) -> None:
    home = Vault(tmp_path / "home", "default", {})
    home.write(Catalogue(home.home).get("openai"), "default", {"api_key": OPENAI_KEY}, now=0.0)
    script = (
        "import sys; sys.argv = ['authsome', *sys.argv[1:]]\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        f"found = [name for name in {unwanted!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        env={"AUTHSOME_HOME": str(tmp_path / "home"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_login_from_a_pipe_imports_neither_page_nor_web_client(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['authsome', 'login', 'openai', '--stdin']\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "unwanted = 'werkzeug jinja2 httpx selenium webbrowser asyncio authsome.bridge authsome.probe authsome.proxy'\n"
        "found = [name for name in unwanted.split() if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="sk-CANARY0123456789abcdefghij",
        cwd=tmp_path,
        env={"AUTHSOME_HOME": str(tmp_path / "home"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_who_asks_a_provider_has_no_command_line_of_the_web_client_to_wait_for(tmp_path: Path) -> None:
    script = (
        "import sys; from authsome import probe\n"
        "found = [name for name in ('rich', 'pygments', 'click', 'mitmproxy') if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_imports_nothing_but_what_its_child_needs_before_the_child_is_there(tmp_path: Path) -> None:
    """Not the engine, not the log, and not the reader of command lines that other commands have."""
    unwanted = [
        *("typer", "pydantic", "ruamel.yaml", "rich", "mitmproxy", "asyncio", "ssl", "watchfiles", "h11", "subprocess"),
        *("authsome.audit", "authsome.reload", "authsome.screens", "authsome.bridge", "authsome.proxy.engine"),
    ]
    script = (
        "import sys, authsome.child as child\n"
        "class Stop(child.Child):\n"
        "    def __init__(self, *_):\n"
        f"        print([name for name in {unwanted!r} if name in sys.modules])\n"
        "        raise SystemExit\n"
        "child.Child = Stop\n"
        "sys.argv = ['authsome', 'run', '--', 'true']\n"
        "from authsome.cli import main\n"
        "main()\n"
    )
    home = {"AUTHSOME_HOME": str(tmp_path / "home"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=home, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
