"""Requests that take longer than a person expects.

Promises that whoever waits is told for whom, once. Refuses to change anything else of a request or its answer.
"""

from collections.abc import Callable
from threading import Timer
from typing import override

from authsome.web import httpx


class Patient(httpx.BaseTransport):
    """Sends requests by another transport.

    Args:
        late: Gets the host that is waited for.
        seconds: After how long.
    """

    def __init__(self, sent: httpx.BaseTransport, late: Callable[[str], None], seconds: float) -> None:
        self._sent, self._late, self._seconds = sent, late, seconds
        self._told = False

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        waiting = Timer(self._seconds, self._tell, (request.url.host,))
        waiting.daemon = True
        waiting.start()
        try:
            return self._sent.handle_request(request)
        finally:
            waiting.cancel()

    def _tell(self, host: str) -> None:
        if not self._told:  # a login on another device asks every few seconds
            self._told = True
            self._late(host)

    @override
    def close(self) -> None:
        self._sent.close()
