"""What things are called: hosts, providers and their connections, and what the child holds instead of a secret."""

import re
from dataclasses import dataclass

from authsome.errors import AuthsomeError, ExitCode

PLACEHOLDER = "authsome-proxy-managed"
"""What the child holds instead of a default connection's secret; a further one appends `-<connection>`."""

DEFAULT_CONNECTION = "default"

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: header names, methods
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRETIVE = re.compile(r"(?:[A-Z0-9]+_)*(?:KEY|APIKEY|TOKEN|SECRET|PASSWORD|PAT)(?:_[A-Z0-9]+)*")
"""A variable that is called like what it holds."""
READ_BY_PROGRAMS = re.compile(
    r"(?:LD|DYLD|PYTHON|NODE|GIT|SSH|BASH|RUBY|PERL|JAVA|AUTHSOME|XDG|NPM)(?:_.*)?"
    r"|(?:PIP|UV|CARGO|RUSTC?|BUNDLE|GEM|MAKE|GCONV|GLIBC|OPENSSL|SSL|CURL|LESS|ELECTRON|DOTNET|COMPOSER|LUA)_.*"
    r"|(?:PYTHON|PERL5?|RUBY|CLASS|CD|F|NODE|NLS|LUA_C?|GO)?PATH|PYTHON[A-Z]+|PERL5?(?:OPT|LIB|DB)|RUBY(?:OPT|LIB)"
    r"|HOME|SHELL|ENV|IFS|PS[0-4]|PROMPT_COMMAND|(?:SHELL|BASH)OPTS|ZDOTDIR|INPUTRC|TMPDIR|TE?MP|USER|LOGNAME"
    r"|(?:MAN)?PAGER|EDITOR|VISUAL|BROWSER|LESSOPEN|LESSCLOSE|MAKEFLAGS|MAKEFILES|CC|CXX|GOFLAGS|GOPROXY"
    r"|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|HOSTALIASES|(?:REQUESTS|AWS)_CA_BUNDLE|WGETRC|SYSTEM_WGETRC|KUBECONFIG"
    r"|DOCKER_(?:HOST|CONFIG)|(?i:(?:.*_)?proxy)"
)
"""A variable by which a program is led: to code, to a file, to another proxy."""


def check_name(name: str, what: str) -> str:
    """Return a provider, connection or profile name that is safe as a file name everywhere, or raise (exit code 2)."""
    if not NAME.fullmatch(name) or name in _DEVICES:
        shown = ascii(name[:40])
        raise AuthsomeError(
            f"{shown} is not a {what} name",
            hint="use up to 63 lower-case letters, digits, `-` and `_`",
            code=ExitCode.USAGE,
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """An exact DNS name, lower case and without a final dot, and a port."""

    name: str
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> "Host":
        """Return the host of `api.example.com`, `api.example.com:8443` or `https://api.example.com`."""
        if text.startswith("regex:") or "*" in text:
            raise ValueError(f"`{text}` is a pattern; write each host exactly, as in `api.example.com`")
        if not text.isascii():  # in lower case the Kelvin sign U+212A is a `k`
            raise ValueError(f"`{text}` is not a host name")
        scheme, separator, rest = text.partition("://")
        if separator and scheme != "https":
            raise ValueError(f"`{text}`: a credential leaves over https only")
        authority = (rest if separator else text).removesuffix("/").lower()
        name, _, port = authority.partition(":")
        if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
            raise ValueError(f"`{text}` is not a host name")
        if port and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536):  # noqa: PLR2004  ports
            raise ValueError(f"`{text}`: not a port")
        return cls(name, int(port or 443))

    @property
    def is_loopback(self) -> bool:
        """Whether the name says by itself that it never leaves this machine (RFC 6761, 6.3)."""
        return self.name == "localhost" or self.name.endswith(".localhost")

    def __str__(self) -> str:
        return self.name if self.port == 443 else f"{self.name}:{self.port}"  # noqa: PLR2004  https


def placeholder(connection: str) -> str:
    """Return what the child holds instead of this connection's secret."""
    return PLACEHOLDER if connection == DEFAULT_CONNECTION else f"{PLACEHOLDER}-{connection}"
