"""Both brakes of a connection, and what is left when the other side goes, over real sockets."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from authsome.proxy.pipe import AT_MOST, FLOODED, Gone, Line

BLOCK = bytes(1 << 16)


def _with(talk: Callable[[Line, socket.socket], Awaitable[None]]) -> None:
    """Do something with a line and with the socket at its other end."""

    async def run() -> None:
        line, (near, far) = Line(), socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: line, sock=near)
        far.setblocking(False)
        try:
            async with asyncio.timeout(20):
                await talk(line, far)
        finally:
            far.close()
            line.abort()
            await asyncio.sleep(0)

    asyncio.run(run())


async def _pour(far: socket.socket, most: int) -> int:
    """Send until nobody takes more; return how much was taken."""
    sent = 0
    while sent < most:
        try:
            async with asyncio.timeout(0.3):
                await asyncio.get_running_loop().sock_sendall(far, BLOCK)
        except TimeoutError:
            break
        sent += len(BLOCK)
    return sent


def test_who_is_not_read_from_is_soon_not_listened_to_and_then_again() -> None:
    async def talk(line: Line, far: socket.socket) -> None:
        sent = await _pour(far, 64 << 20)
        assert sent < 8 << 20
        got = 0
        while got < sent:
            got += len(await line.read())

    _with(talk)


def test_a_flush_waits_for_who_takes_nothing() -> None:
    async def talk(line: Line, far: socket.socket) -> None:
        async def say() -> None:
            for _ in range(64):
                line.write(BLOCK)
                await line.flush()

        saying = asyncio.ensure_future(say())
        await asyncio.sleep(0.3)
        assert not saying.done()
        got = 0
        while got < 64 * len(BLOCK):
            got += len(await asyncio.get_running_loop().sock_recv(far, 1 << 20))
        await saying

    _with(talk)


def test_who_takes_nothing_of_what_is_sent_without_waiting_is_broken_off() -> None:
    async def flood(line: Line) -> None:
        for _ in range(2 * FLOODED // len(BLOCK)):
            line.write(BLOCK)
            await line.flush(wait=False)

    async def talk(line: Line, _: socket.socket) -> None:
        with pytest.raises(Gone):
            await flood(line)

    _with(talk)


def test_what_came_before_the_end_is_read_and_then_the_end() -> None:
    async def talk(line: Line, far: socket.socket) -> None:
        far.send(b"last words")
        far.close()
        await asyncio.sleep(0.05)
        assert not line.quiet
        assert await line.read() == b"last words"
        assert await line.read() == b""
        line.write(b"too late")
        with pytest.raises(Gone):
            await line.flush()

    _with(talk)


def test_a_connection_that_breaks_is_not_taken_for_one_that_ends() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            line = Line()
            await asyncio.get_running_loop().create_connection(lambda: line, *listener.getsockname())
            far, _ = listener.accept()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()  # with a reset
            with pytest.raises(Gone):
                await line.read()

    asyncio.run(run())


def test_a_line_is_full_when_it_is_time_to_flush() -> None:
    async def talk(line: Line, _: socket.socket) -> None:
        seen = []
        for size in (AT_MOST - 1, 1):
            line.write(b"x" * size)
            seen.append(line.full)
        await line.flush()
        assert [*seen, line.full] == [False, True, False]

    _with(talk)
