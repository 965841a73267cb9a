"""The web client, and the one error by which a request ends without an answer.

Promises that what is said of a failed request is said in this program's words: a library's may quote the request, and
with it what the request carried.
"""

import sys

# `import httpx` brings a command line of its own, and with it click, rich and pygments: half of what a person would
# wait for. To Python, a module that is None is not there, and httpx does without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

__all__ = ["OutsideError", "httpx"]


class OutsideError(httpx.TransportError):
    """No answer, and why; the words name the host and nothing else of the request."""
