"""How much memory the parent of an agent, which is authsome, takes."""

import os
import re
from pathlib import Path


def resident(field: str) -> int:
    """Return a figure of the parent in KiB; this file of /proc stays readable, whatever else is withheld."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{os.getppid()}/status").read_text())
    return int(found[1]) if found else 0
