"""Latency, throughput and streaming through the proxy, against the same requests sent straight.

Run it with `uv run python tests/benchmarks/proxy.py`. Origin, proxy and client share this machine; read the ratios.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from itertools import product
from pathlib import Path

import measure
import trustme

EXECUTABLE = str(Path(sys.executable).parent / "authsome")
BODY = b'{"object": "list", "data": [' + b'{"id": "model", "object": "model"},' * 4 + b"{}]}"
TEXT = (BODY * 500)[: 1 << 16]
ROUNDS = 5

BUSY = 0.5
"""Seconds that most agents are busy with themselves before they send anything."""

# The same programs run straight and as the child of a run; each prints one JSON object of figures.
SPEAK = r"""
import base64, json, os, socket, ssl, statistics, sys, time, threading, urllib.parse
port = int(sys.argv[1])
settings = ssl.create_default_context()
proxy = urllib.parse.urlsplit(os.environ.get("HTTPS_PROXY", ""))
head = f"Host: localhost:{port}\r\nAuthorization: Bearer x\r\n"

def connect():
    if not proxy.hostname:
        raw = socket.create_connection(("127.0.0.1", port))
    else:
        raw = socket.create_connection((proxy.hostname, proxy.port))
        user = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        line = f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n"
        raw.sendall(f"{line}Proxy-Authorization: Basic {user}\r\n\r\n".encode())
        while b"\r\n\r\n" not in raw.recv(4096): pass
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return settings.wrap_socket(raw, server_hostname="localhost")

def exchange(stream, path, body=0):
    stream.sendall(f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\n{head}Content-Length: {body}\r\n\r\n".encode())
    sent = 0
    while sent < body:
        sent += stream.send(b"x" * min(65536, body - sent))
    data = b""
    while b"\r\n\r\n" not in data: data += stream.recv(65536)
    top, _, rest = data.partition(b"\r\n\r\n")
    length = int(top.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    got = len(rest)
    while got < length: got += len(stream.recv(262144))

"""
FIRST = (
    SPEAK
    + r"""
busy = float(sys.argv[2])
time.sleep(busy)
begin = time.perf_counter(); exchange(connect(), "/"); first = time.perf_counter() - begin
when = f"{busy} s after the start" if busy else "at once"
print(json.dumps({f"first request, {when} (ms)": first * 1000}))
"""
)
CLIENT = (
    SPEAK
    + r"""
count, size = int(sys.argv[2]), int(sys.argv[3])
def work(times):
    stream = connect()
    exchange(stream, "/")
    for _ in range(count):
        begin = time.perf_counter(); exchange(stream, "/"); times.append(time.perf_counter() - begin)

one = []; work(one)
begin = time.perf_counter()
ten = [[] for _ in range(10)]
threads = [threading.Thread(target=work, args=(times,)) for times in ten]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
spent = time.perf_counter() - begin
begin = time.perf_counter(); exchange(connect(), f"/bytes/{size}"); down = time.perf_counter() - begin
begin = time.perf_counter(); exchange(connect(), "/", size); up = time.perf_counter() - begin
begin = time.perf_counter()
for _ in range(40): exchange(connect(), "/")
fresh = time.perf_counter() - begin
print(json.dumps({
    "latency p50, 1 connection (ms)": statistics.median(one) * 1000,
    "time per request, 10 connections (ms)": spent / (10 * count + 10) * 1000,
    "time per new connection (ms)": fresh / 40 * 1000,
    "download (s)": down, "upload (s)": up,
}))
"""
)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve keep-alive requests: `/` answers a small body, `/bytes/N` N bytes."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            left = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
            while left:
                left -= len(await reader.read(min(left, 1 << 18)))
            wanted = int(head.split()[1].rpartition("/")[2] or 0) if "/bytes/" in head else 0
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (wanted or len(BODY)))
            writer.write(BODY if not wanted else b"")
            while wanted:
                chunk = min(wanted, 1 << 16)
                writer.write(TEXT[:chunk])
                await writer.drain()
                wanted -= chunk
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(authority: trustme.CA) -> int:
    """Start the origin in a thread and return its port on `localhost`."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(settings)
    ready: list[int] = []
    started = threading.Event()

    async def listen() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=settings)
        ready.append(server.sockets[0].getsockname()[1])
        started.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(listen()), daemon=True).start()
    started.wait()
    return ready[0]


def main() -> None:
    """Measure and print."""
    authority = trustme.CA()
    port = serve(authority)
    with tempfile.TemporaryDirectory() as root:
        authority.cert_pem.write_to_path(f"{root}/ca.pem")
        home = Path(root) / "home" / "providers"
        home.mkdir(parents=True)
        definition = {"name": "bench", "host_url": f"https://localhost:{port}", "api_key": {"env_var": "BENCH"}}
        (home / "bench.json").write_text(json.dumps(definition))
        env = {"PATH": os.environ["PATH"], "HOME": root, "AUTHSOME_HOME": f"{root}/home"}
        env |= {"SSL_CERT_FILE": f"{root}/ca.pem"}
        login = [EXECUTABLE, "login", "bench", "--stdin"]
        subprocess.run(login, input=b"key", env=env, cwd=root, check=True, capture_output=True)
        python, first = [sys.executable, "-c"], [FIRST, str(port)]
        clients = [[*first, "0"], [*first, str(BUSY)]] * 3 + [[CLIENT, str(port), "1500", str(200 << 20)]]
        ways: dict[str, list[str]] = {"straight": [], "through authsome": [EXECUTABLE, "run", "--"]}
        found: dict[str, dict[str, list[float]]] = {}
        for client, (name, before) in product(clients * ROUNDS, ways.items()):
            done = subprocess.run([*before, *python, *client], env=env, cwd=root, capture_output=True, check=True)
            for what, figure in json.loads(done.stdout).items():
                found.setdefault(what, {}).setdefault(name, []).append(figure)
    for what, figures in found.items():
        measure.show(what, figures, "", "straight")


if __name__ == "__main__":
    main()
