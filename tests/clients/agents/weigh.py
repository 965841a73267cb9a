"""Move many bytes with curl and print how much memory the parent, which is authsome, took for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from memory import resident

direction, version, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
HOST = "https://api.openai.com"
SOURCE = Path(os.environ["TMPDIR"]) / "upload"


def curl(*arguments: str, expected: int = 0) -> str:
    command = ["curl", "--disable", "--silent", "--show-error", "--fail", f"--{version}", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != expected:
        sys.exit(f"curl ended with {done.returncode}: {done.stderr}")
    return done.stdout


curl(f"{HOST}/echo")  # the engine is imported and both TLS sides have been used
before = resident("VmRSS")
TO_NOWHERE = ("--output", "/dev/null", "--write-out", "%{size_download}", f"{HOST}/big?bytes={size}")
if direction == "slow-download":
    # Who takes little must not be given much to keep; five seconds would be enough for the whole.
    moved = curl("--limit-rate", "1M", "--max-time", "5", *TO_NOWHERE, expected=28)
elif direction == "download":
    moved = curl(*TO_NOWHERE)
else:
    with SOURCE.open("wb") as file:
        file.truncate(size)
    moved = curl("--request", "POST", "--upload-file", str(SOURCE), f"{HOST}/upload")
    moved = str(json.loads(moved)["bytes"])
    SOURCE.unlink()
print(json.dumps({"moved": int(moved), "before": before, "peak": resident("VmHWM")}))
