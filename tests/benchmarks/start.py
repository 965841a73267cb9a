"""How long commands take to start, against an empty Python and against importing mitmproxy.

Run it with `uv run python tests/benchmarks/start.py`. Compile the bytecode first (`uv run python -m compileall -q
.venv/lib`), an installer does that too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

ROUNDS = 15
EXECUTABLE = str(Path(sys.executable).parent / "authsome")


def _ten(root: Path, env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a home with ten connections, each of a provider of one's own."""
    held = env | {"AUTHSOME_HOME": f"{root}/ten"}
    providers = root / "ten" / "providers"
    providers.mkdir(parents=True)
    for number in range(10):
        name = f"p{number}"
        definition = {"name": name, "host_url": f"{name}.example", "api_key": {"env_var": f"KEY_{number}"}}
        (providers / f"{name}.json").write_text(json.dumps(definition))
        login = [EXECUTABLE, "login", name, "--stdin"]
        subprocess.run(login, input=b"k" * 40, env=held, cwd=root, check=True, capture_output=True)
    return held


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as root:
        bare, declared = Path(root) / "bare", Path(root) / "declared"
        bare.mkdir()
        declared.mkdir()
        (declared / "authsome.yaml").write_text("version: 1\nproviders:\n  openai:\n")
        env = {"PATH": os.environ["PATH"], "AUTHSOME_HOME": f"{root}/home", "HOME": root}
        # The child says when it began; what comes after it is not what the agent waits for.
        begin = "import sys, time; sys.stdout.write(str(time.perf_counter()))"
        login = [EXECUTABLE, "login", "openai", "--stdin"]
        subprocess.run(login, input=b"sk-" + b"a" * 30, env=env, check=True, capture_output=True)
        ten = _ten(Path(root), env)

        def started(cwd: Path) -> float:
            before = time.perf_counter()
            command = [EXECUTABLE, "run", "--", sys.executable, "-c", begin]
            done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, check=True)
            return (float(done.stdout) - before) * 1000

        found = measure.turns(
            {
                "python -c pass": lambda: measure.wall([sys.executable, "-c", "pass"], env, root),
                "import mitmproxy (tools.dump)": lambda: measure.wall(
                    [sys.executable, "-c", "import mitmproxy.tools.dump"], env, root
                ),
                "authsome --version": lambda: measure.wall([EXECUTABLE, "--version"], env, root),
                "get openai --field status": lambda: measure.wall(
                    [EXECUTABLE, "get", "openai", "--field", "status"], env, str(bare)
                ),
                "export of one connection": lambda: measure.wall([EXECUTABLE, "export", "openai"], env, str(bare)),
                "export of ten connections": lambda: measure.wall([EXECUTABLE, "export"], ten, str(bare)),
                "run -- true, no manifest": lambda: measure.wall([EXECUTABLE, "run", "--", "true"], env, str(bare)),
                "run -- true, with a manifest": lambda: measure.wall(
                    [EXECUTABLE, "run", "--", "true"], env, str(declared)
                ),
                "a Python child's first line, no manifest": lambda: started(bare),
                "a Python child's first line, with a manifest": lambda: started(declared),
            },
            ROUNDS,
        )
    measure.show("start, whole process", found, "ms", "python -c pass")


if __name__ == "__main__":
    main()
