"""Which process is at the other end of a loopback connection, where the kernel tells.

Promises an answer from the kernel's own tables, for processes of this user only. Refuses to guess: elsewhere than on
Linux, in another network namespace, or where two sockets fit, there is no answer.

NOTE: the number is the kernel's; the name is what the process calls itself, and it may call itself anything.
"""

import os
import socket
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_REMEMBERED = 4096
_LISTED = Path("/proc/net/tcp")


@dataclass(frozen=True, slots=True)
class Process:
    """A client as the audit log names it."""

    pid: int
    name: str


class Processes:
    """The clients that are connected, by their end of the connection; at most 4096 are remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], Process | None] = OrderedDict()
        self._recent: OrderedDict[int, None] = OrderedDict()

    def opened(self, peer: tuple[str, int]) -> None:
        """Find out who connected from `peer`."""
        self._known[peer] = self._find(peer)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def closed(self, peer: tuple[str, int]) -> None:
        """Forget a connection: its address will be somebody else's."""
        self._known.pop(peer, None)

    def get(self, peer: tuple[str, int] | None) -> Process | None:
        """Return who is at `peer`, if that is known."""
        return self._known.get(peer) if peer else None

    def _find(self, peer: tuple[str, int]) -> Process | None:
        try:
            inode = socket_inode(_LISTED.read_text(), peer)
            # Clients tend to be those of a moment ago; reading the descriptors of every process takes milliseconds.
            pid = self._holder(f"socket:[{inode}]") if inode else None
            name = Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n") if pid else ""
        except (OSError, ValueError):  # not Linux, no such process any more, or an address of another family
            return None
        if pid is None:
            return None
        self._recent[pid] = None
        self._recent.move_to_end(pid)
        if len(self._recent) > 16:  # noqa: PLR2004  a handful; more would cost what they save
            self._recent.popitem(last=False)
        return Process(pid, name)

    def _holder(self, link: str) -> int | None:
        for pid in reversed(self._recent):
            if _holds(pid, link):
                return pid
        everyone = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
        return next((pid for pid in everyone if _holds(pid, link)), None)


def _holds(pid: int, link: str) -> bool:
    """Whether a process of this user has the socket open."""
    with suppress(OSError):
        folder = f"/proc/{pid}/fd"
        if Path(folder).stat().st_uid != os.geteuid():
            return False
        for number in os.listdir(folder):  # noqa: PTH208  paths would be made for every descriptor there is
            with suppress(OSError):
                if os.readlink(f"{folder}/{number}") == link:  # noqa: PTH115
                    return True
    return False


def socket_inode(listed: str, peer: tuple[str, int]) -> int | None:
    """Return the inode of the socket at `peer`, from the text of `/proc/net/tcp`; None without exactly one.

    Its columns: slot, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode; an address
    is the number in the machine's own byte order, a colon, the port.
    """
    number = int.from_bytes(socket.inet_aton(peer[0]), sys.byteorder)
    local = f"{number:08X}:{peer[1]:04X}"
    rows = [columns for line in listed.splitlines()[1:] if len(columns := line.split()) > 9]  # noqa: PLR2004
    pairs = {(columns[1], columns[2]) for columns in rows}
    # Both ends are on this machine, so the proxy's end is in the table too.
    fitting = [int(row[9]) for row in rows if row[1] == local and (row[2], row[1]) in pairs]
    return fitting[0] if len(fitting) == 1 and fitting[0] else None
