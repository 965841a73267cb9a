"""What scrubbing costs where no answer holds a secret: a connection with it, one with `scrub: off`, and another.

Run it with `uv run python tests/benchmarks/carried.py`. The two without it differ by nothing but chance: a difference
that is not larger than theirs was not measured.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import trustme

import proxy

ROUNDS = 21
SIZE = 100 << 20
MANIFEST = """\
version: 1
providers:
  bench:
    connections:
      default: {}
      exact: {env: EXACT_KEY, scrub: off}
      again: {env: AGAIN_KEY, scrub: off}
"""
CLIENT = (
    proxy.SPEAK
    + r"""
rounds, size = int(sys.argv[2]), int(sys.argv[3])
names = ["scrubbed", "not scrubbed", "not scrubbed, again"]
plain = head
found = {}
def timed(what, name, call):
    begin = time.perf_counter()
    call()
    found.setdefault(what, {}).setdefault(name, []).append((time.perf_counter() - begin) * 1e3)
for turn in range(rounds + 1):
    for name in names[turn % 3:] + names[:turn % 3]:
        held = "authsome-proxy-managed" + {"not scrubbed": "-exact", "not scrubbed, again": "-again"}.get(name, "")
        head = plain.replace("Bearer x", "Bearer " + held)
        stream = connect()
        exchange(stream, "/")
        timed("100 MB of JSON", name, lambda: exchange(stream, f"/bytes/{size}"))
        timed("300 small answers", name, lambda: [exchange(stream, "/") for _ in range(300)])
print(json.dumps({what: {name: figures[1:] for name, figures in of.items()} for what, of in found.items()}))
"""
)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as root:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(f"{root}/ca.pem")
        port = proxy.serve(authority)
        env = {"PATH": os.environ["PATH"], "HOME": root, "AUTHSOME_HOME": f"{root}/home"}
        env |= {"SSL_CERT_FILE": f"{root}/ca.pem"}
        definition = {"name": "bench", "host_url": f"https://localhost:{port}", "api_key": {"env_var": "BENCH"}}
        Path(root, "home", "providers").mkdir(parents=True)
        Path(root, "home", "providers", "bench.json").write_text(json.dumps(definition))
        Path(root, "authsome.yaml").write_text(MANIFEST)
        trust = [proxy.EXECUTABLE, "trust", "--yes"]
        subprocess.run(trust, env=env, cwd=root, check=True, capture_output=True)
        for name in ("default", "exact", "again"):
            login = [proxy.EXECUTABLE, "login", "bench", "--connection", name, "--stdin"]
            key = f"sk-BENCH-{name}-0123456789abcdef".encode()
            subprocess.run(login, input=key, env=env, cwd=root, check=True, capture_output=True)
        client = [sys.executable, "-c", CLIENT, str(port), str(ROUNDS), str(SIZE)]
        run = [proxy.EXECUTABLE, "run", "--", *client]
        done = subprocess.run(run, env=env, cwd=root, check=True, stdout=subprocess.PIPE)
    for what, figures in json.loads(done.stdout).items():
        measure.show(what, figures, "ms", "not scrubbed")
        ratios = [[a / b for a, b in zip(mine, figures["not scrubbed"], strict=True)] for mine in figures.values()]
        for name, of in zip(figures, ratios, strict=True):
            low, _, high = statistics.quantiles(of)
            print(f"  {name:44} half of the rounds between {low:.2f} and {high:.2f} x not scrubbed")


if __name__ == "__main__":
    main()
