"""What looking for secrets costs, by what passes and by how many secrets there are.

Run it with `uv run python tests/benchmarks/scrub.py`. Copying the same octets is shown beside it.
"""

import gzip
import os
import time
from collections.abc import Callable
from functools import partial

import brotli  # type: ignore[import-untyped]  # it has no types
import measure
import zstandard

from authsome.proxy.codings import make
from authsome.proxy.scrub import Scrubber

ROUNDS = 9
CHUNK = 1 << 16
EVENT = b'data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","choices":[{"delta":{"content":" he\\n"}}]}\n\n'
TEXT = (EVENT.replace(b"\\n", b"!") * 1000)[:CHUNK]
ESCAPED = (EVENT.replace(b"/", b"\\/") * 1000)[:CHUNK]
WORST = b"%73" * (CHUNK // 3)
CODED = {"gzip": gzip.compress(EVENT), "br": brotli.compress(EVENT), "zstd": zstandard.compress(EVENT)}
MANY = 10


def _microseconds(call: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times * 1e6


def main() -> None:
    """Measure and print."""
    one = Scrubber({"sk-BENCH0123456789abcdefghij": "authsome-proxy-managed"})
    many = Scrubber({f"sk-{number}BENCH0123456789abcdefg": "authsome-proxy-managed" for number in range(MANY)})
    kinds = {"event": EVENT, "text": TEXT, "escaped text": ESCAPED, "random": os.urandom(CHUNK), "all escapes": WORST}
    commands: dict[str, Callable[[], float]] = {"copy": lambda: _microseconds(lambda: bytearray(TEXT), 500)}
    for name, data in kinds.items():
        times = 5 if data is WORST else 2000 if data is EVENT else 100
        for count, scrubber in ((1, one), (MANY, many)):
            name_of = f"{name}, {len(data)} octets, secrets: {count}"
            commands[name_of] = partial(_microseconds, partial(scrubber.stream().feed, data), times)
    for coding in CODED:
        commands[f"a body of one event in {coding}"] = partial(_microseconds, partial(_recode, coding, one), 50)
    measure.show("scrubbing", measure.turns(commands, ROUNDS), "us", "copy")


def _recode(coding: str, scrubber: Scrubber) -> None:
    """Take a whole body through its coding."""
    transform = make(coding, scrubber.stream())
    for _ in transform.feed(CODED[coding]):
        pass
    transform.end()


if __name__ == "__main__":
    main()
