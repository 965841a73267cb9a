"""`authsome doctor --clients`, with clients that behave and clients that do not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import EXECUTABLE, CommandLine, Done

AROUND = """\
import socket, sys, urllib.parse
socket.getaddrinfo(urllib.parse.urlsplit(sys.argv[-1]).hostname, 443)
"""
DISTRUSTS = """\
import ssl, sys, urllib.request
nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
urllib.request.build_opener(urllib.request.HTTPSHandler(context=nobody)).open(sys.argv[-1], timeout=20)
"""
NO_PASSWORD = """\
import os, sys, urllib.parse, urllib.request
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"https": f"http://127.0.0.1:{proxy.port}"}))
opener.open(sys.argv[-1], timeout=20)
"""
WORKS = "import sys, urllib.request; urllib.request.urlopen(sys.argv[-1], timeout=20)"


def _on_path(authsome: CommandLine, name: str, script: str) -> None:
    """Make a program of this name all that there is on PATH."""
    folder = authsome.root / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    authsome.env["PATH"] = str(folder)


def _verdicts(done: Done) -> dict[str, str]:
    return {each["client"]: each["verdict"] for each in json.loads(done.out)["clients"]}


@pytest.mark.parametrize(
    ("script", "verdict", "advice"),
    [
        (WORKS, "works", ""),
        (AROUND, "ignores the proxy", "remove `proxy` and `noproxy` from your .curlrc"),
        (DISTRUSTS, "distrusts the certificate", "remove `cacert` from your .curlrc"),
        (NO_PASSWORD, "failed", "it sends no password to the proxy"),
        ("raise SystemExit(127)", "failed", "run it yourself under `authsome run --`"),
    ],
)
def test_a_client_is_judged_by_what_arrives(authsome: CommandLine, script: str, verdict: str, advice: str) -> None:
    _on_path(authsome, "curl", script)
    done = authsome("doctor", "--clients", "--json")
    assert done.code == (0 if verdict == "works" else 8), done
    (told,) = json.loads(done.out)["clients"]
    assert (told["client"], told["verdict"]) == ("curl", verdict)
    assert told["advice"].startswith(advice)
    assert done.err == "trying curl …\n"


def test_the_clients_of_this_machine_work_and_nothing_is_left_of_the_trial(authsome: CommandLine) -> None:
    folder, temporary = authsome.root / "bin", authsome.root / "temporary"
    folder.mkdir()
    temporary.mkdir()
    there = [name for name in ("curl", "wget", "git") if shutil.which(name)]
    for name in there:
        (folder / name).symlink_to(str(shutil.which(name)))
    authsome.env = {"PATH": str(folder), "TMPDIR": str(temporary), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}
    done = authsome("doctor", "--clients", "--json")
    assert (done.code, _verdicts(done)) == (0, dict.fromkeys(there, "works")), done
    assert list(temporary.iterdir()) == []
    assert not authsome.home.exists()


def test_ctrl_c_ends_a_client_that_hangs_and_leaves_no_trace(authsome: CommandLine) -> None:
    temporary, mark = authsome.root / "temporary", authsome.root / "pid"
    temporary.mkdir()
    _on_path(authsome, "curl", f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    authsome.env["TMPDIR"] = str(temporary)
    command = [str(EXECUTABLE), "doctor", "--clients"]
    process = subprocess.Popen(command, cwd=authsome.project, env=authsome.environ(), start_new_session=True)
    deadline = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert list(temporary.iterdir()) == []
    assert not Path(f"/proc/{mark.read_text()}").exists()


def test_doctor_without_a_client_or_a_flag_says_so(authsome: CommandLine) -> None:
    authsome.env["PATH"] = os.devnull
    done = authsome("doctor", "--clients")
    assert (done.code, done.out) == (0, "None of the clients that doctor knows is on PATH.\n")
    assert authsome("doctor").code == 2
