"""A login that is confirmed on another device (RFC 8628): when to ask about it again, and until when.

Promises to ask no more often than the provider wants, and less often where it does not answer. Refuses an address for
the code that is not https.
"""

from dataclasses import dataclass

from authsome.bridge.returned import safe
from authsome.oauth import DeviceAuthorization, UnavailableError

SLOWEST = 60.0
"""Seconds from one question to the next, at most, where a provider does not answer and does not say how long."""
LONGEST = 3600.0
"""Seconds for which a code is waited for, whatever its provider says; 900 and 1800 are usual."""


@dataclass(slots=True)
class Code:
    """One code that waits to be confirmed; all times are seconds of one clock.

    Attributes:
        due: When to ask next.
        expires: When the code ends.
    """

    device: DeviceAuthorization
    due: float
    expires: float
    asked: float
    _pause: float

    @classmethod
    def begun(cls, device: DeviceAuthorization, now: float, display_name: str) -> "Code":
        """Return a code that was just given; raise `AuthsomeError` where it must not be shown."""
        for url in (device.verification_uri, device.verification_uri_complete):
            if url is not None:
                safe(url, display_name)
        return cls(device, now + device.interval, now + min(device.expires_in, LONGEST), now, device.interval)

    def goes_on(self, device: DeviceAuthorization, now: float) -> None:
        """Take it that the provider said "not yet"; it may want more time from now on."""
        self.device, self.asked, self._pause = device, now, device.interval
        self.due = now + device.interval

    def puts_off(self, error: UnavailableError, now: float) -> None:
        """Take it that the provider did not answer (RFC 8628, 3.5: ask less often then)."""
        self._pause = max(self._pause, min(SLOWEST, 2 * self._pause), error.retry_after or 0.0)
        self.asked, self.due = now, now + self._pause

    def hurries(self) -> None:
        """Ask as soon as the provider wants to be asked, however long nothing was heard of it."""
        self.due = min(self.due, self.asked + self.device.interval)

    @property
    def minutes(self) -> int:
        """How long it holds from its beginning, in whole minutes."""
        return max(1, round(min(self.device.expires_in, LONGEST) / 60))
