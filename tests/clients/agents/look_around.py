"""Copy everything that an agent can see without trying hard into a folder, one file each."""

import os
import sys
from pathlib import Path

target = Path(sys.argv[1])
target.mkdir()
for number, pid in enumerate(("self", str(os.getppid()))):
    (target / f"arguments-{number}").write_bytes(Path(f"/proc/{pid}/cmdline").read_bytes())
(target / "environment").write_bytes(Path("/proc/self/environ").read_bytes())
run_folder = Path(os.environ["SSL_CERT_FILE"]).parent
places = [run_folder, *(Path(os.environ[name]) for name in ("TMPDIR", "XDG_RUNTIME_DIR") if name in os.environ)]
for number, path in enumerate({path for place in places for path in place.rglob("*") if path.is_file()}):
    (target / f"file-{number}-{path.name}").write_bytes(path.read_bytes())
print(run_folder)
