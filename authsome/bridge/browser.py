"""The browser of whoever started this.

Promises to find the one that `BROWSER` or the desktop names, and to open a link in it without waiting for it. Refuses
to hand it anything of this process: not its terminal, and not the variables that hold an identity.
"""

import subprocess
import sys
import webbrowser
from collections.abc import Mapping

_OURS = ("AUTHSOME_IDENTITY", "AUTHSOME_IDENTITY_FILE", "AUTHSOME_IDENTITY_COMMAND")


def found(environ: Mapping[str, str]) -> bool:
    """Whether there is a browser with a window."""
    try:
        chosen = webbrowser.get()
    except webbrowser.Error:
        return False
    # Without a name in BROWSER, the plain class stands for one that would draw into the terminal (w3m, lynx).
    return bool(environ.get("BROWSER")) or type(chosen) is not webbrowser.GenericBrowser


def show(link: str, environ: Mapping[str, str]) -> None:
    """Open a link, in a process of its own: some browsers stay until they are closed, and many chatter."""
    subprocess.Popen(
        [sys.executable, "-m", "webbrowser", link],
        env={name: text for name, text in environ.items() if name not in _OURS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
