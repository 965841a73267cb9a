"""How long the commands take that a person or a script calls often, against an empty Python.

Run it with `uv run python tests/benchmarks/commands.py`. Compile the bytecode first (`uv run python -m compileall -q
.venv/lib authsome`), an installer does that too.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import measure

from authsome.provider import Catalogue, bundled
from authsome.vault import Vault

ROUNDS = 15
EXECUTABLE = str(Path(sys.executable).parent / "authsome")
PROVIDERS = 148
CONNECTIONS = 10


def _names() -> Iterator[str]:
    """Yield the names of as many definitions as the home gets."""
    yield from (f"acme-{number:03}" for number in range(PROVIDERS - len(list(bundled("providers").glob("*.json")))))


def furnish(home: Path) -> None:
    """Write a home in which there are 148 providers, ten of them connected."""
    (home / "providers").mkdir(parents=True)
    names = list(_names())
    for name in names:
        variable = name.replace("-", "_").upper()
        definition = {
            "schema_version": 1,
            "name": name,
            "display_name": name.title(),
            "host_url": [f"api.{name}.example", f"files.{name}.example"],
            "api_key": {"header_name": "X-Api-Key", "header_prefix": "", "env_var": f"{variable}_API_KEY"},
            "keys_url": f"https://{name}.example/keys",
            "docs": f"https://{name}.example/docs",
        }
        (home / "providers" / f"{name}.json").write_text(json.dumps(definition, indent=2))
    catalogue, vault = Catalogue(home), Vault(home, "default", {})
    for name in ("openai", *names[: CONNECTIONS - 1]):
        key = "sk-" + "a" * 30
        vault.write(catalogue.get(name), "default", {"api_key": key}, now=0.0)


COMMANDS = {
    "--version": ["--version"],
    "--help": ["--help"],
    "login --help": ["login", "--help"],
    f"list, {PROVIDERS} providers": ["list"],
    f"list --json, {PROVIDERS} providers": ["list", "--json"],
    f"list --available, {PROVIDERS} providers": ["list", "--available"],
    f"providers search, {PROVIDERS} providers": ["providers", "search", "mail"],
    f"providers lint, {PROVIDERS} providers": ["providers", "lint", str(bundled("providers") / "openai.json")],
    "get --field status": ["get", "openai", "--field", "status"],
    "inspect": ["inspect", "openai"],
    f"export, {CONNECTIONS} connections": ["export"],
    f"check, {CONNECTIONS} connections": ["check"],
    "schema": ["schema"],
    "schema --list": ["schema", "--list"],
}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as root:
        home = Path(root) / "home"
        furnish(home)
        env = {"PATH": os.environ["PATH"], "AUTHSOME_HOME": str(home), "HOME": root}
        subprocess.run([EXECUTABLE, "list"], env=env, cwd=root, check=True, capture_output=True)
        timed = {"python -c pass": [sys.executable, "-c", "pass"]}
        timed |= {name: [EXECUTABLE, *words] for name, words in COMMANDS.items()}
        found = measure.turns(
            {name: partial(measure.wall, command, env, root) for name, command in timed.items()}, ROUNDS
        )
    measure.show("commands, whole process", found, "ms", "python -c pass")


if __name__ == "__main__":
    main()
