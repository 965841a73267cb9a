"""The proxy of a company: CONNECT with a password, and a file with every target that somebody asked for."""

import asyncio
import sys
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

USERINFO, LOG = sys.argv[1], Path(sys.argv[2])


def note(line: str) -> None:
    with LOG.open("a") as file:
        file.write(line + "\n")


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    writer.close()


async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, target, _ = head.splitlines()[0].split()
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
    expected = "basic " + b64encode(USERINFO.encode()).decode().lower()
    welcome = headers.get("proxy-authorization") == expected
    note(f"{'served' if welcome else 'refused'} {method} {target}")
    if not welcome or method != "CONNECT":
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    host, _, port = target.rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def main() -> None:
    """Serve until standard input ends, as it does with the test."""
    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


asyncio.run(main())
