"""Secrets that an upstream sends back become their placeholders, while the bytes stream.

Promises that a secret of the session does not pass, wherever a chunk ends, in any of these spellings: as it is, base64
(three alignments, both alphabets), hex, reversed, and each of those with any of its characters escaped (percent, also
twice or three times; JSON and JavaScript; HTML). At most three characters of a spelling leave before it is known for
one, because an event that happens to end in `s` must not wait. Refuses to look for secrets under eight octets: they
would be found in ordinary traffic.

**A replacement is as long as what it replaces.** The stand-in is padded with `*`, or cut, to the length of the secret
before it is encoded, so it comes back in the spelling that was found, and a Content-Length, a gRPC or WebSocket frame,
a pkt-line or a member of an archive stays valid. No framing has to be rewritten, and what has already left can be
continued.

An escape is read as one wherever it can be; base64 characters that also hold bits of a neighbour are left alone.
"""

import re
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5
from itertools import chain

from authsome.proxy.sieve import Sieve

SHORTEST = 8
"""Octets. A secret under this length is not looked for."""

HELD_FROM = 4
"""Characters. A beginning of a spelling this long waits for what follows; a shorter one leaves at once."""

_WORTH_A_SIEVE = 4096
"""Octets. In a smaller piece `re` has looked at every `%` before a sieve is ready."""

_LONGEST_ESCAPE = 20
"""Octets: `&DiacriticalGrave;` has 18, a number with the zeros that are read 12."""

_PERCENT = rb"%(?:25){0,2}"
_NAMED = {
    b"&" + name.encode(): ord(char)
    for name, char in html5.items()
    if name[-1] == ";" and char.isascii() and len(char) == 1
}
# What an escape may look like before its last octet has come.
_OPEN = re.compile(
    rb"%(?:25){0,2}[0-9a-fA-F]?"
    rb"|\\(?:u(?:0(?:0[0-9a-fA-F]?)?)?|x[0-9a-fA-F]?)?"
    rb"|&(?:#[xX]?[0-9a-fA-F]{0,9}|[A-Za-z]{0,17})"
)

type _Escape = tuple[int, int, int]
"""Where an escape starts and ends, and the character it stands for."""

type _Found = tuple[int, int, bytes]
"""Where a spelling starts and ends, and what stands there instead."""


class Scrubber:
    """The secrets of one session and what stands in for each. Never changes; shared by all streams."""

    __slots__ = ("_ends", "_escapes", "_longest", "_short", "_shortest", "_sieve", "_spellings")

    def __init__(self, secrets: Mapping[str, str]) -> None:
        spellings: dict[bytes, bytes] = {}
        for secret, stand_in in secrets.items():
            raw = secret.encode()
            if len(raw) >= SHORTEST:
                for spelling, instead in _spell(raw, stand_in.encode().ljust(len(raw), b"*")[: len(raw)]):
                    spellings.setdefault(spelling, instead)
        self._escapes = _escapes_of(frozenset(chain.from_iterable(spellings)))
        for spelling, instead in list(spellings.items()):
            # A secret may hold what reads as an escape: `a%41…` is then also `aA…`.
            if (plain := self._plain(spelling)) != spelling and len(plain) >= SHORTEST:
                spellings.setdefault(plain, instead[: len(plain)])
        self._spellings = list(spellings.items())
        self._sieve = Sieve.of(spellings) if spellings else None
        self._longest, self._shortest = max(map(len, spellings), default=0), min(map(len, spellings), default=0)
        self._short = frozenset(spelling[:size] for spelling in spellings for size in range(1, HELD_FROM))
        self._ends: dict[bytes, list[bytes]] = {}
        for spelling in spellings:
            for size in range(HELD_FROM, len(spelling)):
                self._ends.setdefault(spelling[size - HELD_FROM : size], []).append(spelling[:size])
        for beginnings in self._ends.values():
            beginnings.sort(key=len, reverse=True)

    def __repr__(self) -> str:
        """Say nothing of the secrets, not even how many spellings they have."""
        return "Scrubber()"

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._spellings)

    def once(self, data: bytes) -> bytes:
        """Return a complete value without secrets; the same object if it has none."""
        if len(data) < self._shortest:  # escapes only make a spelling longer
            return data
        found, _ = self.find(data)
        if not found:
            return data
        shown = bytearray(data)
        replace(shown, found, 0)
        return bytes(shown)

    def stream(self) -> "Stream":
        """Return the state of one body, or of one direction of a connection."""
        return Stream(self)

    def find(self, data: bytes) -> tuple[list[_Found], "_View | None"]:
        """Return every spelling in the data, leftmost and longest first, and the data's end as read without escapes."""
        found = [(at, at + len(spelling), instead) for at, spelling, instead in self._spelled(data)]
        escapes = self._look_for_escapes(data)
        if not escapes:
            if len(found) > 1:
                found.sort(key=_leftmost_longest)
            return found, None
        view = None
        for view in _views(data, escapes, self._longest):
            found += (view.found(data, at, instead) for at, _, instead in self._spelled(view.text))
        found.sort(key=_leftmost_longest)
        return found, view if view and view.stop == len(data) else None

    def unfinished(self, data: bytes, view: "_View | None") -> tuple[int, int]:
        """Return where the longest beginning of a spelling starts that the data ends with, and its characters.

        (len(data), 0) if it ends with none.
        """
        size = len(data)
        most = self._beginning(data)
        start = size - most
        if view:
            count = self._beginning(view.text)
            start, most = min(start, view.raw(len(view.text) - count)), max(most, count)
        opened = _open_at(data)
        if opened < size:
            # NOTE: of an escape most of its character may have come already, so it counts as one.
            before = view.text[: view.read(opened)] if view else data[max(0, opened - self._longest) : opened]
            count = self._beginning(before)
            begin = view.raw(len(before) - count) if view else opened - count
            start, most = min(start, begin), max(most, count + 1)
        return start, most

    def _beginning(self, text: bytes) -> int:
        """Return how many characters of a spelling, all but its last, the text ends with."""
        for beginning in self._ends.get(text[-HELD_FROM:], ()):
            if text.endswith(beginning):
                return len(beginning)
        for size in range(HELD_FROM - 1, 0, -1):
            if text[-size:] in self._short and len(text) >= size:
                return size
        return 0

    def _spelled(self, text: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield where each spelling starts, the spelling, and what stands there instead."""
        for index in self._sieve.named(text) if self._sieve else ():
            spelling, instead = self._spellings[index]
            at = text.find(spelling)
            while at >= 0:
                yield at, spelling, instead
                at = text.find(spelling, at + 1)  # places may overlap

    def _look_for_escapes(self, data: bytes) -> list[_Escape]:
        escapes: list[_Escape] = []
        for first, pattern in self._escapes:
            if first in data and (len(data) < _WORTH_A_SIEVE or _sieve_for(pattern).named(data)):
                escapes += ((match.start(), match.end(), _character(match[0])) for match in pattern.finditer(data))
        escapes.sort()
        return escapes

    def _plain(self, text: bytes) -> bytes:
        escapes = self._look_for_escapes(text)
        return _View.of(text, escapes, 0, len(text)).text if escapes else text


class Stream:
    """One body. What is held is never longer than the longest spelling with every character escaped."""

    __slots__ = ("_done", "_raw", "_scrubber", "_sent", "_shown")

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._raw = b""
        """A beginning of a spelling, as it came."""
        self._shown = b""
        """The same, without what was replaced in it already."""
        self._sent = 0
        """How much of it has left."""
        self._done = 0
        """How much of it was replaced by something that started before it."""

    def __repr__(self) -> str:
        """Say nothing of what is held."""
        return "Stream()"

    def look_for(self, scrubber: Scrubber) -> None:
        """Look for other secrets from now on, among them those that were looked for."""
        self._scrubber = scrubber

    def feed(self, data: bytes) -> bytes:
        """Return what can leave now: the very same object if nothing was found and nothing was held."""
        scrubber = self._scrubber
        if not scrubber or not data:
            return data
        raw = self._raw + data if self._raw else data
        found, view = scrubber.find(raw)
        start, count = scrubber.unfinished(raw, view)
        if not found and not self._raw and count < HELD_FROM:
            self._raw = self._shown = raw[start:]
            self._sent = len(self._raw)
            return data
        done = self._done
        if found or done:
            changed = bytearray(self._shown[:done] + raw[done:])
            replace(changed, found, done)
            shown = bytes(changed)
        else:
            shown = raw
        leaves = max(self._sent, start) if count >= HELD_FROM else len(raw)
        result = shown[self._sent : leaves]
        # What starts in the part that is kept is found again with what follows: it may be part of something longer.
        done = max((stop for begin, stop, _ in found if begin < start), default=done)
        self._raw, self._shown = raw[start:], shown[start:]
        self._sent, self._done = leaves - start, max(0, done - start, self._done - start)
        return result

    def end(self) -> bytes:
        """Return what was held: it did not become a secret."""
        rest = self._shown[self._sent :]
        self._raw = self._shown = b""
        self._sent = self._done = 0
        return rest


@dataclass(frozen=True, slots=True, repr=False)
class _View:
    """A part of the data with its escapes read, and the way back to where each character stands."""

    text: bytes
    start: int
    stop: int
    escapes: Sequence[_Escape]
    places: Sequence[int]
    """Where in the text each escape's character stands."""

    @classmethod
    def of(cls, data: bytes, escapes: Sequence[_Escape], start: int, stop: int) -> "_View":
        pieces: list[bytes] = []
        places: list[int] = []
        at, place = start, 0
        for first, after, character in escapes:
            pieces += (data[at:first], _OCTETS[character])
            place += first - at
            places.append(place)
            place += 1
            at = after
        pieces.append(data[at:stop])
        return cls(b"".join(pieces), start, stop, escapes, places)

    def raw(self, place: int) -> int:
        """Return where in the data a character of the text starts."""
        index = bisect_left(self.places, place)
        return self.escapes[index - 1][1] + place - self.places[index - 1] - 1 if index else self.start + place

    def read(self, at: int) -> int:
        """Return which character of the text starts at a place in the data."""
        index = bisect_left(self.escapes, (at, 0, 0))
        return self.places[index - 1] + 1 + at - self.escapes[index - 1][1] if index else at - self.start

    def found(self, data: bytes, place: int, instead: bytes) -> _Found:
        """Return a spelling of the text as it stands in the data, its replacement escaped in the same way."""
        pieces: list[bytes] = []
        at = 0
        for index in range(bisect_left(self.places, place), bisect_left(self.places, place + len(instead))):
            first, after, _ = self.escapes[index]
            here = self.places[index] - place
            pieces += (instead[at:here], _alike(data[first:after], instead[here]))
            at = here + 1
        pieces.append(instead[at:])
        replacement = b"".join(pieces)
        start = self.raw(place)
        return start, start + len(replacement), replacement


def replace(shown: bytearray, found: Iterable[_Found], done: int) -> None:
    """Write replacements, leftmost first, none over what is already replaced up to `done`."""
    for start, stop, instead in found:
        if stop > done:
            begin = max(start, done)
            shown[begin:stop] = instead[begin - start :]
            done = stop


_OCTETS = [bytes([octet]) for octet in range(256)]


def _leftmost_longest(found: _Found) -> tuple[int, int]:
    return found[0], -found[1]


def _spell(secret: bytes, stand_in: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the spellings of a secret with the same of its stand-in, which has the same length."""
    yield secret, stand_in
    yield secret[::-1], stand_in[::-1]
    for shift in range(3):
        # Of base64 only the characters whose six bits all belong to the secret.
        first, after = -(-8 * shift // 6), 8 * (shift + len(secret)) // 6
        for alphabet in (b"+/", b"-_"):
            yield (
                b64encode(bytes(shift) + secret + bytes(2), alphabet)[first:after],
                b64encode(bytes(shift) + stand_in + bytes(2), alphabet)[first:after],
            )
    lower, instead = secret.hex(), stand_in.hex()
    yield lower.encode(), instead.encode()
    yield lower.upper().encode(), instead.upper().encode()


def _views(data: bytes, escapes: Sequence[_Escape], reach: int) -> Iterator[_View]:
    """Yield the parts of the data around escapes, as far as a spelling with one of them can reach."""
    first = 0
    for index in range(1, len(escapes) + 1):
        if index < len(escapes) and escapes[index][0] - escapes[index - 1][1] <= 2 * reach:
            continue
        group = escapes[first:index] if first or index < len(escapes) else escapes
        yield _View.of(data, group, max(0, group[0][0] - reach), min(len(data), group[-1][1] + reach))
        first = index


@lru_cache(maxsize=64)
def _sieve_for(pattern: re.Pattern[bytes]) -> Sieve:
    """Prepare for one kind of escape: milliseconds, so only once the first large piece holds what may be one."""
    return Sieve([pattern.pattern])


def _escapes_of(alphabet: frozenset[int]) -> list[tuple[int, re.Pattern[bytes]]]:
    """Return, by the octet it starts with, what an escape of these characters looks like.

    One pattern for all would begin with a set of octets, which `re` looks for ten times slower than for one octet.
    """
    if not alphabet:
        return []
    ascii_only = {code for code in alphabet if code < 0x80}  # noqa: PLR2004  beyond it, \u and &# count characters
    two_digits, numbers = _two_digits(ascii_only), b"|".join(b"%d" % code for code in sorted(ascii_only))
    backslash = rb"\\(?:u00" + two_digits + rb"|x" + two_digits + (rb"|/" if ord("/") in alphabet else b"") + rb")"
    entity = [rb"#0{0,6}(?:" + numbers + rb");", rb"#[xX]0{0,6}" + two_digits + rb";"]
    entity += (re.escape(name[1:]) for name, code in _NAMED.items() if code in ascii_only)
    return [
        (ord("%"), re.compile(_PERCENT + _two_digits(alphabet))),
        (ord("\\"), re.compile(backslash)),
        (ord("&"), re.compile(rb"&(?:" + b"|".join(entity) + rb")")),
    ]


def _two_digits(alphabet: AbstractSet[int]) -> bytes:
    """Return a pattern for these octets in hex, in either case."""
    rows: dict[str, set[str]] = {}
    for code in alphabet:
        high, low = divmod(code, 16)
        rows.setdefault(f"{high:x}", set()).update((f"{low:x}", f"{low:X}"))
    parts = (f"[{high}{high.upper()}][{''.join(sorted(low))}]" for high, low in sorted(rows.items()))
    return f"(?:{'|'.join(parts)})".encode()


@lru_cache(maxsize=4096)
def _character(escape: bytes) -> int:
    """Return the octet an escape stands for."""
    if escape == rb"\/":
        return ord("/")
    if escape[0] != ord("&"):
        return int(escape[-2:], 16)
    if escape[1] != ord("#"):
        return _NAMED[escape]
    return int(escape[3:-1], 16) if escape[2] in b"xX" else int(escape[2:-1])


def _alike(escape: bytes, character: int) -> bytes:
    """Return a character escaped like another one and as long; `*` where it does not fit."""
    if escape == rb"\/":
        return b"**"
    if escape[0] != ord("&"):
        return escape[:-2] + b"%02x" % character
    if escape[:3].lower() == b"&#x":
        return escape[:-3] + b"%02x;" % character
    width = len(escape) - len(b"&#;")
    for code in (character, ord("*")):
        if len(str(code)) <= width:
            return b"&#%0*d;" % (width, code)
    return b"*" * len(escape)


def _open_at(data: bytes) -> int:
    """Return where an escape starts that the data's end cuts short, or the length of the data."""
    last = data[-_LONGEST_ESCAPE:]
    at = max(last.rfind(b"%"), last.rfind(b"\\"), last.rfind(b"&"))
    return len(data) - len(last) + at if at >= 0 and _OPEN.fullmatch(last, at) else len(data)
