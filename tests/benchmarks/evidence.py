"""How long it takes to look through a repository of 5,000 files, with the bundled providers and with 150 of them.

Run it with `uv run python tests/benchmarks/evidence.py`. The files are those of Python's own library, again and again,
10 KB each in the mean.
"""

import itertools
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import measure

ROUNDS = 5
FILES = 5000
PROVIDERS = 150
EXECUTABLE = str(Path(sys.executable).parent / "authsome")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as root:
        repository, home = Path(root) / "repository", Path(root) / "home"
        size = _repository(repository)
        _definitions(home / "providers")
        few = {"PATH": os.environ["PATH"], "AUTHSOME_HOME": f"{root}/none", "HOME": root}
        found = measure.turns(
            {
                "python -c pass": lambda: measure.wall([sys.executable, "-c", "pass"], few, root),
                "init --dry-run": lambda: measure.wall([EXECUTABLE, "init", "-n"], few, str(repository)),
                f"init --dry-run, {PROVIDERS} providers more": lambda: measure.wall(
                    [EXECUTABLE, "init", "-n"], few | {"AUTHSOME_HOME": str(home)}, str(repository)
                ),
            },
            ROUNDS,
        )
    measure.show(f"{FILES} files, {size >> 20} MiB, whole process", found, "ms", "python -c pass")


def _repository(root: Path) -> int:
    """Make a repository and return how many bytes its files hold."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    contents = [path.read_bytes() for path in sources if path.stat().st_size < 40_000]
    size = 0
    for number, content in zip(range(FILES), itertools.cycle(contents), strict=False):
        path = root / f"folder{number % 70}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_bytes(content)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    return size


def _definitions(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(PROVIDERS):
        definition = {
            "name": f"acme{number}",
            "host_url": [f"api.acme{number}.example", f"files.acme{number}.example"],
            "api_key": {"env_var": f"ACME{number}_API_KEY", "key_pattern": f"^ac{number}_[A-Za-z0-9]{{32,}}$"},
            "packages": [f"pypi:acme{number}", f"npm:@acme{number}/sdk"],
        }
        (folder / f"acme{number}.json").write_text(json.dumps(definition))


if __name__ == "__main__":
    main()
