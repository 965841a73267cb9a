import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from authsome import audit
from authsome.audit import chain, process, suggest
from authsome.manifest import Allowed
from authsome.provider import matches
from authsome.rules import Use
from sweep import examples

USE = Use(1_790_000_000.25, "GET", "api.openai.com", "/v1/models", "inject", "openai", 200, 12, 345, 6.7)


def _log(folder: Path, *uses: Use, run: str = "r1") -> list[str]:
    said: list[str] = []
    written = audit.Audit(folder, run, "default", said.append)
    for use in uses:
        written.record(use)
    written.close()
    return said


def _chain(folder: Path, count: int, **more: int) -> None:
    for number in range(count):
        chain.append(folder, [audit.render(dataclasses.replace(USE, sent=number), "r1", "default", None)], **more)


def _sound(folder: Path) -> int:
    verdict = audit.verify(folder)
    assert verdict.problems == ()
    assert verdict.sound == verdict.lines
    return verdict.lines


def test_a_use_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    assert _log(tmp_path / "audit", USE) == []
    (line,) = audit.read(tmp_path / "audit")
    assert (line.number, line.run, line.profile, line.use) == (1, "r1", "default", USE)
    assert _sound(tmp_path / "audit") == 1


def test_a_line_is_json_with_the_documented_names(tmp_path: Path) -> None:
    _log(tmp_path / "audit", USE)
    assert json.loads((tmp_path / "audit" / "log.jsonl").read_text()) == {
        "n": 1,
        "prev": "0" * 64,
        "time": "2026-09-21T14:13:20.250Z",
        "run": "r1",
        "profile": "default",
        "connection": "openai",
        "method": "GET",
        "host": "api.openai.com",
        "path": "/v1/models",
        "decision": "inject",
        "status": 200,
        "sent": 12,
        "received": 345,
        "milliseconds": 6.7,
    }


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        _log(tmp_path / "home" / "audit", USE)
        _chain(tmp_path / "home" / "audit", 3, limit=1)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").rglob("*")}
    assert modes.pop("audit") == 0o700
    assert {"log.head", "log.jsonl", "log.1.jsonl"} < set(modes)
    assert set(modes.values()) == {0o600}


def test_words_of_a_request_cannot_repaint_the_log_nor_fill_it(tmp_path: Path) -> None:
    nasty = "/a\x1b[2J\n\r\u202e\ud800" + "ü" * 5000 + "?api_key=sk-CANARY0123456789abcdefghij"
    _log(tmp_path / "audit", dataclasses.replace(USE, path=nasty, host="h" * 9999, method="M\n", decision="d" * 9999))
    text = (tmp_path / "audit" / "log.jsonl").read_bytes()
    assert b"CANARY" not in text
    assert text.count(b"\n") == 1
    (line,) = audit.read(tmp_path / "audit")
    assert all(char.isprintable() for char in line.use.path + line.use.method)
    assert len(line.use.path.encode()) <= audit.LONGEST_PATH
    assert len(text) < 4096


def test_a_secret_in_the_query_is_never_written(tmp_path: Path) -> None:
    _log(tmp_path / "audit", dataclasses.replace(USE, path="/v1?key=sk-CANARY0123456789abcdefghij"))
    assert audit.read(tmp_path / "audit")[0].use.path == "/v1"


_WRITER = """
import sys
from pathlib import Path
from authsome.audit import Audit
from authsome.rules import Use
name, count = sys.argv[2], int(sys.argv[3])
log = Audit(Path(sys.argv[1]), name, "default", print)
for number in range(count):
    log.record(Use(float(number), "GET", "api.example.com", f"/{number}", "inject", "openai", 200))
log.close()
"""


def _writer(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _WRITER, folder, name, str(count)], stdout=subprocess.PIPE)


def test_eight_processes_write_one_sound_chain(tmp_path: Path) -> None:
    writers = [_writer(tmp_path / "audit", f"run{number}", 200) for number in range(8)]
    assert [writer.communicate()[0] for writer in writers] == [b""] * 8
    assert _sound(tmp_path / "audit") == 1600
    for number in range(8):
        uses = [line.use.path for line in audit.read(tmp_path / "audit", f"run{number}")]
        assert uses == [f"/{each}" for each in range(200)]


def test_a_killed_writer_leaves_a_sound_log_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    for number in range(6):
        writer = _writer(folder, f"killed{number}", 10**9)
        deadline = time.monotonic() + 20
        before = len(audit.read(folder))
        while len(audit.read(folder)) == before and time.monotonic() < deadline:
            time.sleep(random.uniform(0, 0.01))  # noqa: S311  when it is killed is left to chance
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        assert _sound(folder) > before
        assert _log(folder, USE) == []
    assert audit.read(folder)[-1].use == USE


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("octets", [1, 100])
def test_half_a_line_is_no_tampering_unless_it_was_a_whole_one(tmp_path: Path, octets: int, counted: bool) -> None:
    _chain(tmp_path, 3)
    head = (tmp_path / "log.head").read_bytes()
    _chain(tmp_path, 1)
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-octets])
    if not counted:
        (tmp_path / "log.head").write_bytes(head)
    verdict = audit.verify(tmp_path)
    assert verdict.unfinished
    assert bool(verdict.problems) is counted
    _chain(tmp_path, 2)
    after = audit.verify(tmp_path)
    assert not after.unfinished
    # A line that lacks its end alone is whole again.
    assert bool(after.problems) is (counted and octets > 1)
    assert [line.use.sent for line in audit.read(tmp_path)][-2:] == [0, 1]


def test_lines_that_the_head_does_not_count_yet_are_followed(tmp_path: Path) -> None:
    _chain(tmp_path, 3)
    head = (tmp_path / "log.head").read_bytes()
    _chain(tmp_path, 2)
    (tmp_path / "log.head").write_bytes(head)
    assert _sound(tmp_path) == 5
    _chain(tmp_path, 1)
    assert _sound(tmp_path) == 6


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rotated")
    _chain(folder, 24, limit=1500, kept=4)
    assert len(list(folder.glob("log*.jsonl"))) == 4
    return folder


def _copied(rotated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "audit"
    shutil.copytree(rotated, folder)
    return folder


FILES = ["log.jsonl", "log.1.jsonl", "log.2.jsonl", "log.3.jsonl"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_edit_is_found_and_named(
    rotated: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = _copied(rotated, tmp_path_factory)
    path = folder / data.draw(st.sampled_from(FILES))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    line = rotated.joinpath(path.name).read_bytes()[:place].count(b"\n") + 1
    problems = audit.verify(folder).problems
    assert any(each.file == path.name and abs(each.line - line) <= 1 for each in problems), problems
    shutil.rmtree(folder)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_cut_swap_copy_and_insertion_is_found_also_after_more_was_written(
    rotated: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = _copied(rotated, tmp_path_factory)
    path = folder / data.draw(st.sampled_from(FILES))
    lines = path.read_bytes().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1).filter(lambda number: number != place))
    match data.draw(st.sampled_from(["cut", "cut the rest", "swap", "copy", "insert", "file", "head"])):
        case "cut":
            del lines[place]
        case "cut the rest":
            del lines[place:]
        case "swap":
            lines[place], lines[other] = lines[other], lines[place]
        case "copy":
            lines.insert(place, lines[other])
        case "insert":
            lines.insert(place, b"\n")
        case "file":
            lines = []
        case "head":
            (folder / "log.head").unlink()
    path.write_bytes(b"".join(lines))
    assert audit.verify(folder).problems
    _chain(folder, 1)
    assert audit.verify(folder).problems
    shutil.rmtree(folder)


def test_a_cut_file_is_named_by_file_and_line(tmp_path: Path) -> None:
    _chain(tmp_path, 5)
    log = tmp_path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]))
    verdict = audit.verify(tmp_path)
    assert [str(each) for each in verdict.problems] == [
        "log.jsonl:3: 2 lines missing at the end: cut off, or lost when the machine lost power"
    ]
    log.write_bytes(b"".join([lines[0], lines[1].replace(b"api.openai.com", b"api.example.com"), *lines[2:]]))
    verdict = audit.verify(tmp_path)
    assert [str(each) for each in verdict.problems] == ["log.jsonl:2: changed: the next line has another hash for it"]
    assert (verdict.sound, verdict.lines) == (4, 5)


def test_the_chain_goes_on_across_rotation_and_old_files_go(tmp_path: Path) -> None:
    for count in range(1, 40):
        _chain(tmp_path, 1, limit=700, kept=3)
        assert _sound(tmp_path) <= count
    names = sorted(path.name for path in tmp_path.glob("log*.jsonl"))
    assert names == ["log.1.jsonl", "log.2.jsonl", "log.jsonl"]
    numbers = [line.number for line in audit.read(tmp_path)]
    assert numbers == list(range(numbers[0], 40))
    assert numbers[0] > 1


def test_a_rotation_that_was_killed_half_way_leaves_no_problem(tmp_path: Path) -> None:
    _chain(tmp_path, 20, limit=1500, kept=8)
    for number in (3, 2):
        (tmp_path / f"log.{number}.jsonl").rename(tmp_path / f"log.{number + 1}.jsonl")
    assert _sound(tmp_path) == 20
    _chain(tmp_path, 20, limit=1500, kept=8)
    assert _sound(tmp_path) == 40


def test_follow_loses_nothing_across_rotation(tmp_path: Path) -> None:
    folder = tmp_path / "audit"

    def meanwhile() -> Iterator[None]:
        yield
        for burst in (1, 2, 30, 0, 9):
            _chain(folder, burst, limit=1500, kept=40)
            yield

    assert [values["n"] for values in audit.follow(folder, 0, meanwhile())] == list(range(1, 43))
    assert [values["n"] for values in audit.follow(folder, 40, repeat(None, 2))] == [41, 42]


@pytest.mark.parametrize("place", ["file", "link", "pipe"])
def test_a_log_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "audit"
    if place == "file":
        folder.write_text("in the way")
    else:
        folder.mkdir()
    if place == "link":
        (folder / "log.jsonl").symlink_to(tmp_path / "elsewhere")
    if place == "pipe":
        os.mkfifo(folder / "log.jsonl")
    said: list[str] = []
    written = audit.Audit(folder, "r1", "default", said.append)
    for _ in range(3):
        written.record(USE)
        time.sleep(0.03)
    written.close()
    assert len(said) == 2
    assert said[0].startswith("authsome: cannot write the audit log (")
    assert said[0].endswith("; the run goes on without it")
    assert said[1] == "authsome: the audit log lacks 3 uses of this run"
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    _chain(tmp_path, 2)
    size = (tmp_path / "log.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        said = _log(tmp_path, USE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "file too large" in said[0]
    assert (tmp_path / "log.jsonl").stat().st_size == size
    _chain(tmp_path, 1)
    assert _sound(tmp_path) == 3


_CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as one:
    one.recv(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell")
def test_the_client_process_is_the_one_that_connected(tmp_path: Path) -> None:
    said: list[str] = []
    written = audit.Audit(tmp_path / "audit", "r1", "default", said.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        children = [subprocess.Popen([sys.executable, "-c", _CLIENT, str(port)]) for _ in range(2)]
        accepted = [listener.accept() for _ in children]
        for _, peer in accepted:
            written.opened(peer)
            written.record(dataclasses.replace(USE, peer=peer))
            written.closed(peer)
            written.record(dataclasses.replace(USE, peer=peer))
        written.close()
        for connection, _ in accepted:
            connection.close()
        for child in children:
            child.wait()
    found = [line.process for line in audit.read(tmp_path / "audit")]
    assert found[1] is found[3] is None
    known = [each for each in found if each]
    assert {each.pid for each in known} == {child.pid for child in children}
    assert all(each.name.startswith("python") for each in known)
    assert said == []


def test_a_peer_that_fits_no_socket_or_two_is_nobody() -> None:
    row = (
        "   0: 0100007F:{} 0100007F:{} 01 00000000:00000000 00:00000000 00000000     0        0 {} 1 0000 20 4 30 10 -1"
    )
    one = ("head", row.format("1F90", "0050", 11), row.format("0050", "1F90", 12))
    two = (*one, row.format("1F90", "0051", 13), row.format("0051", "1F90", 14))
    assert process.socket_inode("\n".join(one), ("127.0.0.1", 8080)) == 11
    assert process.socket_inode("\n".join(two), ("127.0.0.1", 8080)) is None
    assert process.socket_inode("\n".join(one), ("127.0.0.1", 8081)) is None
    assert process.socket_inode("\n".join(one[:2]), ("127.0.0.1", 8080)) is None


def test_recording_costs_the_caller_less_than_ten_microseconds(tmp_path: Path) -> None:
    written = audit.Audit(tmp_path / "audit", "r1", "default", print)
    costs = []
    for _ in range(2000):
        begin = time.perf_counter_ns()
        written.record(USE)
        costs.append(time.perf_counter_ns() - begin)
    written.close()
    assert sorted(costs)[len(costs) // 2] < 10_000
    assert _sound(tmp_path / "audit") == 2000


def test_a_summary_counts_hosts_refusals_and_misplaced_placeholders(tmp_path: Path) -> None:
    misplaced = dataclasses.replace(USE, decision="placeholder_misplaced", path="/x", received=0, sent=0)
    uses = [USE, USE, misplaced, dataclasses.replace(USE, host="b.example", decision="tunnel")]
    written = audit.Audit(tmp_path / "audit", "r1", "default", print)
    for use in uses:
        written.record(use)
    written.close()
    made = written.summary()
    assert made == audit.summary(uses)
    assert made.hosts["api.openai.com"] == audit.Traffic(requests=3, refused=1, sent=24, received=690)
    assert made.refusals == {"placeholder_misplaced": 1}
    assert list(made.misplaced) == ["GET api.openai.com/x"]


def test_a_summary_is_bounded() -> None:
    made = audit.summary(
        dataclasses.replace(USE, host=f"{number}.example", path=f"/{number}", decision="placeholder_misplaced")
        for number in range(3000)
    )
    assert len(made.hosts) == 1001
    assert made.hosts["(other hosts)"].requests == 2000
    assert len(made.misplaced) == 50


# What is proposed.


def _used(*requests: str, decision: str = "inject", connection: str = "github") -> list[Use]:
    return [
        Use(0.0, method, "api.github.com", path, decision, connection)
        for method, _, path in (request.partition(" ") for request in requests)
    ]


def _suggested(*requests: str) -> list[str]:
    return list(suggest.suggest(_used(*requests)).get("github", ()))


def test_identifiers_become_stars_and_words_stay() -> None:
    assert _suggested(
        "GET /repos/acme/widgets/issues/17",
        "GET /repos/acme/widgets/issues/18",
        "GET /commits/9fceb02d0ae598e95dc970b74767f19372d61af8",
        "GET /items/123e4567-e89b-12d3-a456-426614174000",
        "POST /repos/acme/widgets/issues",
        "GET /v1/messages/msg_01XFDUDYJgAACzvnptvVoYEL",
        "GET /v1/models/text-embedding-3-small",
        "GET /user",
    ) == [
        "GET /commits/*",
        "GET /items/*",
        "GET /repos/acme/widgets/issues/*",
        "GET /user",
        "GET /v1/messages/*",
        "GET /v1/models/text-embedding-3-small",
        "POST /repos/acme/widgets/issues",
    ]


def test_more_than_a_few_siblings_become_one_line() -> None:
    assert _suggested(*(f"GET /repos/{name}/readme" for name in "abcde")) == [f"GET /repos/{n}/readme" for n in "abcde"]
    assert _suggested(*(f"GET /repos/{name}/readme" for name in "abcdef")) == ["GET /repos/*/readme"]


def test_many_depths_below_a_star_become_two_stars() -> None:
    paths = ["/trees/1/a", "/trees/2/a/b", "/trees/3/a/b/c", "/trees/4/a/b/c/d"]
    assert _suggested(*(f"GET {path}" for path in paths[:3])) == [
        "GET /trees/*/a",
        "GET /trees/*/a/b",
        "GET /trees/*/a/b/c",
    ]
    assert _suggested(*(f"GET {path}" for path in paths), "GET /trees/5") == ["GET /trees/*", "GET /trees/*/**"]


@pytest.mark.parametrize(
    "request_", ["* /x", "GET /%2e%2e/x", "GET //x", "get /x", "GET /" + "a" * 900 + "…", "GET x", "GET /a b"]
)
def test_what_no_allow_can_permit_is_named_and_not_proposed(request_: str) -> None:
    assert suggest.suggest(_used(request_)) == {}
    assert suggest.beyond(_used(request_)) == {"github": (request_,)}


def test_a_client_cannot_have_its_own_pattern_proposed() -> None:
    assert _suggested("GET /**") == ["GET /*"]
    assert _suggested("GET /repos/a**/x") == ["GET /repos/*/x"]


def test_refused_requests_and_tunnels_are_not_proposed() -> None:
    for decision in ("not_allowed", "placeholder_misplaced", "tunnel", "upstream_failed"):
        assert suggest.suggest(_used("GET /x", decision=decision)) == {}


_WORD = st.sampled_from([*"abcdefgh", "", "17", "42", "9fceb02d0ae5", "a*b", "**", ".", "x:y", "~", "%20", "@"])
_PATH = st.lists(_WORD, min_size=1, max_size=6).map(lambda words: "/" + "/".join(words))


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.sampled_from(["GET", "POST"]), _PATH), max_size=40))
def test_everything_that_was_used_fits_a_proposed_line(requests: list[tuple[str, str]]) -> None:
    uses = _used(*(f"{method} {path}" for method, path in requests))
    lines = [Allowed.parse(line) for line in suggest.suggest(uses).get("github", ())]
    named = suggest.beyond(uses).get("github", ())
    for use in uses:
        fits = any(line.method == use.method and matches(line.path, use.path) for line in lines)
        assert fits or f"{use.method} {use.path}" in named
    assert not any(line.path == "/**" for line in lines)
    assert len(lines) <= len({(use.method, use.path) for use in uses})


# A run that writes nothing down.


def test_a_tally_waits_for_the_last_use_of_a_client_that_is_just_going() -> None:
    tally, peer = audit.Tally(), ("127.0.0.1", 1)
    tally.opened(peer)

    def go() -> None:
        time.sleep(0.2)
        tally.record(USE)
        tally.closed(peer)

    threading.Thread(target=go).start()
    tally.close()
    assert tally.summary().hosts["api.openai.com"].requests == 1


def test_a_tally_does_not_wait_for_a_client_that_stays() -> None:
    tally = audit.Tally()
    tally.opened(("127.0.0.1", 1))
    begun = time.monotonic()
    tally.close()
    assert 0.5 < time.monotonic() - begun < 10
