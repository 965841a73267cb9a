"""One request to a declared host and its answer: how much of it passed, and what the child gets to see of it.

Promises that every octet of the answer, its head, its body and what a changed protocol says afterwards, is looked at
before it leaves, and that a body which cannot be read is refused before its first octet. Refuses nothing by itself: it
tells the engine, and knows nothing of it.
"""

from collections.abc import Callable, Iterable, Iterator

from authsome.proxy import codings
from authsome.proxy.message import Fields
from authsome.proxy.scrub import Scrubber

_PARTIAL = 206  # RFC 9110, 15.3.7


class Exchange:
    """What is known of one exchange while it lasts.

    Args:
        newest: Returns what to look for by now, where that becomes more: an answer may last longer than a token, and
            say another request's.

    Attributes:
        sent: Octets of the request's body that went upstream.
        received: Octets of the answer's body that went to the child.
        bodiless: Whether its head says that there is none.
    """

    def __init__(self, scrubber: Scrubber, newest: Callable[[], Scrubber] | None = None) -> None:
        self.scrubber, self._newest = scrubber, newest
        self.sent = self.received = 0
        self._plain = scrubber.stream()
        self._coded: codings.Transform | None = None
        self.bodiless = False

    def accept(self, asked: str | None, *, ranged: bool) -> str | None:
        """Return what to ask for as Accept-Encoding: only what can be read, and no part of something compressed."""
        if not self.scrubber:
            return asked
        if ranged:
            return "identity"
        return None if asked is None else codings.acceptable(asked)

    def send(self, data: bytes) -> bytes:
        """Count what goes upstream."""
        self.sent += len(data)
        return data

    def head(self, fields: Fields) -> Fields:
        """Return the answer's header or trailer fields as the child may see them."""
        together = b"\n".join(part for pair in fields.pairs for part in pair)
        if self.scrubber.once(together) is together:
            return fields
        return Fields((self.scrubber.once(name), self.scrubber.once(value)) for name, value in fields.pairs)

    def readable(self, coding: str, status: int) -> bool:
        """Begin the answer's body; return whether it can be looked at in this Content-Encoding."""
        if not self.scrubber or coding.strip().lower() in ("", "identity"):
            return True
        if status == _PARTIAL or not codings.known(coding):
            return False
        self._coded = codings.make(coding, self._plain)
        return True

    def expect_nothing(self) -> None:
        """Take any body of this answer for an error: its head says that there is none."""
        self.bodiless = True

    @property
    def recodes(self) -> bool:
        """Whether the body is compressed anew, so that its length is not known beforehand."""
        return self._coded is not None

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Yield what may leave for the child now, which can be nothing; no data means that the body has ended.

        Raises `codings.CodingError` where a compressed body is damaged.
        """
        self.renew()
        for piece in self._pieces(data):
            self.received += len(piece)
            yield piece

    def renew(self) -> None:
        """Look for what there is to look for by now."""
        if self._newest is not None and (newest := self._newest()) is not self.scrubber:
            self.scrubber = newest
            self._plain.look_for(newest)

    def _pieces(self, data: bytes) -> Iterable[bytes]:
        if self.bodiless and data:
            raise codings.CodingError("a body where there is none")
        if self._coded is not None:
            return self._coded.feed(data) if data else (self._coded.end(),)
        return (self._plain.feed(data) if data else self._plain.end(),)
