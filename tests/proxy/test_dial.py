"""Which addresses a secret may go to, and that the one looked at is the one connected."""

import asyncio
import socket

import pytest

from authsome.proxy import dial


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "0.0.0.0", "100.64.0.1"),  # noqa: S104
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"),  # where clouds keep tokens
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "203.0.113.1"),
        *("::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::1"),
        *("localhost", "", "127.1"),
    ],
)
def test_an_address_outside_the_public_internet_is_not_public_however_it_is_written(address: str) -> None:
    assert not dial.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_an_address_of_the_public_internet_is(address: str) -> None:
    assert dial.is_public(address)


def _found(*addresses: str) -> list[dial.Found]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(dial.NotPublicError, match="169.254.169.254"):
        dial.check(_found("8.8.8.8", "169.254.169.254"))


async def _listening(*, private: bool) -> str:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connected = await dial.dial("localhost", port, private=private)
        reader, writer = await asyncio.open_connection(sock=connected)
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        return said.decode()


def test_an_address_that_does_not_answer_is_followed_by_one_that_does() -> None:
    """`localhost` leads to ::1 first where there is IPv6, and nobody listens there."""
    assert asyncio.run(_listening(private=True)) == "hello"


def test_a_name_of_this_machine_is_refused_where_only_public_addresses_will_do() -> None:
    with pytest.raises(dial.NotPublicError, match="not a public address"):
        asyncio.run(_listening(private=False))
