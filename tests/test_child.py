import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from authsome.child import Access, environment, java_options, wget_options
from authsome.proxy.upstream import TRUST_FILE_VARIABLES
from canary import OPENAI_KEY
from conftest import EXECUTABLE, CommandLine
from terminal import Person

ACCESS = Access(
    proxy_url="http://authsome:pw@127.0.0.1:1",
    authority=Path("/run/ca.pem"),
    bundle=Path("/run/bundle.pem"),
    placeholders={"OPENAI_API_KEY": "authsome-proxy-managed"},
    withheld=frozenset({"ANTHROPIC_API_KEY"}),
    hosts=frozenset({"api.openai.com", "localhost"}),
)


PROXY, BUNDLE, AUTHORITY, DIRECT = ACCESS.proxy_url, "/run/bundle.pem", "/run/ca.pem", "127.0.0.1,::1"
ALWAYS = {
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), PROXY),
    **dict.fromkeys(("grpc_proxy", "GLOBAL_AGENT_HTTPS_PROXY", "GLOBAL_AGENT_HTTP_PROXY"), PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), DIRECT),
    "NODE_USE_ENV_PROXY": "1",
    "NODE_EXTRA_CA_CERTS": AUTHORITY,  # adds to Node's roots, every other variable replaces a runtime's
    **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT"), BUNDLE),
    **dict.fromkeys(("AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT", "HTTPLIB2_CA_CERTS"), BUNDLE),
    **dict.fromkeys(("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), BUNDLE),
    **dict.fromkeys(("NIX_SSL_CERT_FILE", "CODEX_CA_CERTIFICATE", "BUNDLE_SSL_CA_CERT", "COMPOSER_CAFILE"), BUNDLE),
    **dict.fromkeys(("HEX_CACERTS_PATH", "PERL_LWP_SSL_CA_FILE"), BUNDLE),
    "GIT_HTTP_PROXY_AUTHMETHOD": "basic",
    "GIT_TERMINAL_PROMPT": "0",
    "ELECTRON_GET_USE_PROXY": "1",
    "OPENAI_API_KEY": "authsome-proxy-managed",
    "AUTHSOME_RUN": str(os.getpid()),
}
SET_BY_THE_PARENT = {
    **dict.fromkeys(("NODE_EXTRA_CA_CERTS", "npm_config_cafile", "NPM_CONFIG_CAFILE"), BUNDLE),
    "YARN_HTTPS_CA_FILE_PATH": BUNDLE,
    **dict.fromkeys(("npm_config_proxy", "npm_config_https_proxy", "NPM_CONFIG_PROXY", "PIP_PROXY"), PROXY),
    **dict.fromkeys(("NPM_CONFIG_HTTPS_PROXY", "CARGO_HTTP_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"), PROXY),
    **dict.fromkeys(("ws_proxy", "wss_proxy", "WS_PROXY", "WSS_PROXY"), PROXY),
    **dict.fromkeys(("npm_config_noproxy", "NPM_CONFIG_NOPROXY", "no_grpc_proxy", "GLOBAL_AGENT_NO_PROXY"), DIRECT),
    "SSL_CERT_DIR": None,
}
JAVA = '-XX:+IgnoreUnrecognizedVMOptions "-XX:VMOptionsFile=/run/java.options"'


def test_a_child_of_an_empty_environment_gets_every_variable_that_a_runtime_reads() -> None:
    assert environment({}, ACCESS) == ALWAYS


@pytest.mark.parametrize(("name", "left"), SET_BY_THE_PARENT.items())
def test_what_the_parent_set_for_one_program_is_changed_with_the_rest(name: str, left: str | None) -> None:
    expected = ALWAYS if left is None else ALWAYS | {name: left}
    assert environment({name: "/corporate"}, ACCESS) == expected


@pytest.mark.parametrize("name", sorted({*ALWAYS} - {"NO_PROXY", "no_proxy"}))
def test_no_value_of_the_parent_survives_in_a_variable_that_is_always_set(name: str) -> None:
    left = BUNDLE if name == "NODE_EXTRA_CA_CERTS" else ALWAYS[name]  # the parent's roots are in the bundle alone
    assert environment({name: "corporate"}, ACCESS) == ALWAYS | {name: left}


def test_yarn_gets_the_variables_it_knows_where_there_is_one() -> None:
    child = environment({}, replace(ACCESS, yarn=True))
    assert child == ALWAYS | {"YARN_HTTPS_PROXY": PROXY, "YARN_HTTPS_CA_FILE_PATH": BUNDLE}


def test_wget_gets_the_systems_settings_with_our_roots() -> None:
    assert environment({}, replace(ACCESS, wget=Path("/run/wgetrc"))) == ALWAYS | {"SYSTEM_WGETRC": "/run/wgetrc"}
    text = wget_options("passive_ftp = on\n", Path("/run/bundle.pem"))
    assert text == "passive_ftp = on\nca_certificate = /run/bundle.pem\n"


@pytest.mark.parametrize(("given", "left"), [({}, JAVA), ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, f"-Xmx1g {JAVA}")])
def test_a_jvm_gets_a_file_of_options_after_those_of_the_parent(given: dict[str, str], left: str) -> None:
    child = environment(given, replace(ACCESS, java=Path("/run/java.options")))
    assert child == ALWAYS | {"JAVA_TOOL_OPTIONS": left}


def test_a_jvms_options_name_proxy_password_exemptions_and_roots() -> None:
    parent = {"NO_PROXY": ".intra.example,openai.com"}
    text = java_options(parent, ACCESS.hosts, PROXY, Path("/run/roots.p12"), "public")
    given = dict(line.strip('"').removeprefix("-D").split("=", 1) for line in text.splitlines())
    proxy = {"proxyHost": "127.0.0.1", "proxyPort": "1", "proxyUser": "authsome", "proxyPassword": "pw"}
    assert given == {
        **{f"{scheme}.{name}": value for scheme in ("http", "https") for name, value in proxy.items()},
        "http.nonProxyHosts": "127.0.0.1|[::1]|*.intra.example",
        "jdk.http.auth.tunneling.disabledSchemes": "",
        "javax.net.ssl.trustStore": "/run/roots.p12",
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": "public",
    }


def test_every_trust_variable_of_the_parent_is_repointed() -> None:
    parent = dict.fromkeys(TRUST_FILE_VARIABLES, "/corporate.pem") | {"SSL_CERT_DIR": "/etc/ssl/certs"}
    child = environment(parent, ACCESS)
    assert {child[name] for name in TRUST_FILE_VARIABLES} == {"/run/bundle.pem"}
    assert "SSL_CERT_DIR" not in child


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("", "127.0.0.1,::1"),  # localhost is declared here
        ("*", "127.0.0.1,::1"),
        ("openai.com,intra.example", "127.0.0.1,::1,intra.example"),
        (".openai.com", "127.0.0.1,::1"),
        ("api.openai.com", "127.0.0.1,::1"),
        ("notopenai.com", "127.0.0.1,::1,notopenai.com"),
        ("localhost:9441 intra.example:80", "127.0.0.1,::1,intra.example:80"),
    ],
)
def test_no_entry_leads_a_declared_host_around_the_proxy(given: str, left: str) -> None:
    child = environment({"NO_PROXY": given}, ACCESS)
    assert child["NO_PROXY"] == child["no_proxy"] == left


def test_secrets_of_the_parent_do_not_reach_the_child() -> None:
    parent = {
        "OPENAI_API_KEY": OPENAI_KEY,
        "ANTHROPIC_API_KEY": "sk-ant-CANARY",
        "AUTHSOME_IDENTITY": "AGE-SECRET-KEY-1CANARY",
        "AUTHSOME_IDENTITY_FILE": "/x/CANARY",
        "HTTPS_PROXY": "http://me:CANARY@corporate:3128",
        "OTHER": "stays",
    }
    child = environment(parent, ACCESS)
    assert "CANARY" not in json.dumps(child)
    assert child["OPENAI_API_KEY"] == "authsome-proxy-managed"
    assert child["OTHER"] == "stays"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["no-such-program"], 127),
        (["./no-such-program"], 127),
        (["/etc/passwd"], 126),
        (["/"], 126),
        ([""], 127),
    ],
)
def test_the_exit_code_is_the_childs_or_says_why_there_was_none(
    authsome: CommandLine, command: list[str], code: int
) -> None:
    done = authsome("run", "--", *command)
    assert done.code == code
    assert ("Error: " in done.err) is (code in (126, 127))


@pytest.mark.parametrize(
    "text", ["version: 2\n", "version: 1\nproviders: {g2: }\n", "version: 1\nisolation: require\n"]
)
def test_what_fails_before_the_child_is_125(authsome: CommandLine, text: str) -> None:
    authsome.declare(text)
    done = authsome("run", "--", "touch", "started")
    assert done.code == 125
    assert not (authsome.project / "started").exists()


def test_streams_and_arguments_are_the_childs_own(authsome: CommandLine) -> None:
    done = authsome("run", "--", "sh", "-c", 'cat; echo "$@" >&2', "-", "--json", "--profile", "x", given="in")
    assert (done.out, done.err) == ("in", "--json --profile x\n")


def test_the_agent_finds_that_authsome_is_sealed(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    for command in ("run -- true", "login g2", "logout openai", "export", "get openai --show-secret"):
        done = authsome("run", "--", "sh", "-c", f"{EXECUTABLE} {command}")
        assert "is sealed inside a run" in done.err
        assert done.code == (125 if command.startswith("run") else 7)


_TRAP = "import os, signal, sys, time\nsignal.signal({0}, lambda *_: (print('got it', flush=True), os._exit(9)))\n"


def _started(authsome: CommandLine, script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [EXECUTABLE, "run", "--", sys.executable, "-c", script],
        cwd=authsome.project,
        env=authsome.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_reaches_the_child_once(authsome: CommandLine, name: str) -> None:
    script = (
        "import os, signal, time\n"
        "count = []\n"
        f"signal.signal(signal.{name}, lambda *_: count.append(1))\n"
        "print('ready', flush=True)\n"
        "while not count: time.sleep(0.01)\n"
        "time.sleep(0.3); os._exit(40 + len(count))\n"
    )
    process = _started(authsome, script)
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=20)
    assert process.returncode == 41


def test_a_signal_reaches_the_childs_children(authsome: CommandLine) -> None:
    script = (
        "import subprocess, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen(['sleep', '60'], preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))\n"
        "print('ready', flush=True)\n"
        "raise SystemExit(50 - inner.wait())\n"
    )
    process = _started(authsome, script)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 50 + signal.SIGTERM


def test_nothing_is_left_of_a_run(authsome: CommandLine, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    authsome.env = {"XDG_RUNTIME_DIR": str(runtime)}
    assert authsome("run", "--", "sh", "-c", "ls $XDG_RUNTIME_DIR | wc -l").out.strip() == "1"
    assert list(runtime.iterdir()) == []
    process = _started(authsome, "print('ready', flush=True); import time; time.sleep(60)")
    assert len(list(runtime.iterdir())) == 1
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # its last lines wait for the disk, which other tests keep busy
    assert process.returncode == 128 + signal.SIGINT
    assert list(runtime.iterdir()) == []


_SNOOP = """
import os
for name in ("environ", "mem", "maps", "fd"):
    path = f"/proc/{os.getppid()}/{name}"
    try:
        os.readlink(path + "/1") if name == "fd" else open(path, "rb")
        print("read", name)
    except PermissionError:
        print("denied", name)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("parent", "answer"), [("authsome", "denied"), ("shell", "read")])
def test_the_child_cannot_read_the_memory_of_its_parent(authsome: CommandLine, parent: str, answer: str) -> None:
    agent: list[str | Path] = [sys.executable, "-c", _SNOOP]
    command: list[str | Path] = [EXECUTABLE, "run", "--", *agent]
    if parent == "shell":  # what the kernel permits to any child, so that a denial means something
        command = ["sh", "-c", '"$@"; true', "-", *agent]
    if os.getuid() == 0:
        # Root that has its powers may read everything; what is tested is the kernel's rule for all others.
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(
        command, cwd=authsome.project, env=authsome.environ(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:-1] == [f"{answer} {name}" for name in ("environ", "mem", "maps", "fd")]


def test_a_descriptor_that_held_the_identity_is_closed_for_the_child(authsome: CommandLine) -> None:
    authsome.login("openai", OPENAI_KEY)
    identity = authsome.home / "identity.txt"
    script = f"exec 3<{identity}; AUTHSOME_IDENTITY_FILE=/dev/fd/3 {EXECUTABLE} run -- sh -c 'cat <&3'"
    done = subprocess.run(
        ["bash", "-c", script], cwd=authsome.project, env=authsome.environ(), capture_output=True, check=False
    )
    assert b"AGE-SECRET-KEY" not in done.stdout
    assert done.returncode != 125
    assert b"file descriptor" in done.stderr


def test_a_child_that_ignores_the_end_of_its_proxy_is_ended(authsome: CommandLine) -> None:
    _with_engine(authsome, "import time; time.sleep(0.5); raise RuntimeError")
    done = authsome("run", "--", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    assert done.code == 125


def _with_engine(authsome: CommandLine, code: str) -> None:
    """Put a package of the engine's name in front of the real one."""
    package = authsome.root / "instead" / "mitmproxy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    authsome.env = {"PYTHONPATH": str(package.parent)}


def test_the_child_does_not_wait_for_the_engine(authsome: CommandLine) -> None:
    _with_engine(authsome, "import threading; threading.Event().wait()  # an import that never ends")
    done = authsome("run", "--", "sh", "-c", "echo $HTTPS_PROXY; exit 3")
    assert done.code == 3
    assert done.out.startswith("http://authsome:")


def test_a_proxy_that_cannot_work_ends_the_child_and_says_so(authsome: CommandLine) -> None:
    _with_engine(authsome, "raise RuntimeError('words of its own')")
    done = authsome("run", "--", "sleep", "60")
    assert done.code == 125
    assert done.err == "Error: the proxy stopped: RuntimeError\nHint: the agent was ended\n"


# At a terminal.


def _run(authsome: CommandLine, script: str) -> Person:
    return Person([EXECUTABLE, "run", "--", "bash", "-c", script], authsome.environ(), authsome.project)


def test_the_child_has_the_terminal(authsome: CommandLine) -> None:
    person = _run(authsome, "read -p 'name? ' name; echo hello $name")
    assert person.sees("name? ")
    person.types("agent\n")
    assert person.sees("hello agent")
    assert person.ends() == 0


def test_ctrl_c_reaches_the_child_and_its_answer_counts(authsome: CommandLine) -> None:
    person = _run(authsome, "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done")
    assert person.sees("ready")
    person.types("\x03")
    assert person.ends() == 5
    assert person.screen.count("caught") == 1
    assert "Traceback" not in person.screen


def test_ctrl_c_ends_a_child_that_does_not_care(authsome: CommandLine) -> None:
    person = _run(authsome, "echo ready; exec sleep 60")
    assert person.sees("ready")
    person.types("\x03")
    assert person.ends() == 128 + signal.SIGINT


def test_ctrl_z_stops_both_and_fg_continues_both(authsome: CommandLine) -> None:
    shell = Person(["/bin/bash", "--norc", "-i"], {**authsome.environ(), "PS1": "prompt> "}, authsome.project)
    assert shell.sees("prompt> ")
    shell.types(f"{EXECUTABLE} run -- bash -c 'echo rea''dy; sleep 1; read line; echo got $line'\n")
    assert shell.sees("ready\n")
    shell.screen = ""
    shell.types("\x1a")
    assert shell.sees("Stopped")
    assert shell.sees("prompt> ")
    shell.types("fg\n")
    time.sleep(0.3)
    shell.types("some words\n")
    assert shell.sees("got some words")
    shell.types("exit\n")
    assert shell.ends() == 0


def test_a_pager_behind_a_pipe_keeps_the_terminal(authsome: CommandLine) -> None:
    script = f"{EXECUTABLE} run -- sh -c 'seq 3' | (cat; read answer < /dev/tty; echo read $answer)"
    person = Person(["/bin/bash", "--norc", "-c", script], authsome.environ(), authsome.project)
    assert person.sees("3\n")
    person.types("yes\n")
    assert person.sees("read yes")
    assert person.ends() == 0


def test_a_child_in_a_pipe_that_reads_the_terminal_gets_it(authsome: CommandLine) -> None:
    script = f"{EXECUTABLE} run -- bash -c 'read -p \"name? \" name </dev/tty; echo hello $name' | cat"
    person = Person(["/bin/bash", "--norc", "-c", script], authsome.environ(), authsome.project)
    assert person.sees("name? ")
    person.types("agent\n")
    assert person.sees("hello agent")
    assert person.ends() == 0
