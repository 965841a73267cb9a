"""Run each of the named scripts with a program, two side by side, and print how each ended as a line of JSON."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PATIENCE = 120
"""Seconds for one script."""


def ended(script: str) -> str:
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.argv[1], script], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = -1, late.stdout or b"", late.stderr or b""
    told = {"code": code, "out": out.decode(), "err": err.decode(), "seconds": round(time.monotonic() - began, 2)}
    return json.dumps({"script": Path(script).stem, **told})


with ThreadPoolExecutor(2) as pool:
    for line in pool.map(ended, sys.argv[2:]):
        print(line, flush=True)
