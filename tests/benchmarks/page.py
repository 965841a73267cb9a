"""How fast the page answers, and what it costs commands that open none.

Run it with `uv run python tests/benchmarks/page.py`.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "bridge")]

import asking  # noqa: E402  found by the line above
import measure  # noqa: E402  as above

ROUNDS = 200
_NAMES = ("werkzeug", "jinja2", "httpx", "authsome.bridge")


def _imported(*words: str) -> int:
    """Return how many of the page's modules a command has imported when it ends."""
    script = (
        "import sys; sys.argv = ['authsome', *sys.argv[1:]]\n"
        "from authsome.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print(sum(name.startswith({_NAMES!r}) for name in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    return int(done.stderr.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    asked = [asking.question(f"acme{number}", why="to plan the work", hint="long") for number in range(20)]
    with asking.opened(*asked) as page:
        cookie = page.enter()

        def timed(act: str | None) -> float:
            begin = time.perf_counter()
            reply = page.post(cookie, {"act": act}) if act else page.send("GET", page.guard.root, {"Cookie": cookie})
            assert reply.status in (200, 303), reply
            return (time.perf_counter() - begin) * 1000

        begin = time.perf_counter()
        first = page.page(cookie)
        cold = (time.perf_counter() - begin) * 1000
        wrong = {"act": "store-0", "field-0-api_key": asking.WRONG}

        def answered() -> float:
            begin = time.perf_counter()
            assert page.post(cookie, wrong).status == 303
            return (time.perf_counter() - begin) * 1000

        found = measure.turns(
            {"the page, 20 lines": lambda: timed(None), "an act": lambda: timed("again-1"), "an answer": answered},
            ROUNDS,
        )
    measure.show(f"the page ({len(first)} octets, {cold:.1f} ms the first time)", found, "ms", "an act")
    slowest = {name: max(figures) for name, figures in found.items()}
    print("  slowest of each:", ", ".join(f"{name} {figure:.1f} ms" for name, figure in slowest.items()))
    assert statistics.median(found["the page, 20 lines"]) < 50
    for words in (["--version"], ["list"], ["inspect", "openai"]):
        print(f"  modules of the page imported by `authsome {' '.join(words)}`: {_imported(*words)}")


if __name__ == "__main__":
    main()
