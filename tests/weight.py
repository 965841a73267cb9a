"""What a process takes at its peak, told by itself at its end."""

# Not `ru_maxrss`: Linux counts what the process that started this one took before it became another program.
PEAK = """
import re
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
"""A function for a script: KiB of memory."""
