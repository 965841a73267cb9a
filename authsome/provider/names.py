"""What things are called: hosts, providers and their connections, and what the child holds instead of a secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from authsome.errors import AuthsomeError, ExitCode

PLACEHOLDER = "authsome-proxy-managed"
"""What the child holds instead of a default connection's secret; a further one appends `-<connection>`."""

DEFAULT_CONNECTION = "default"

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*")
SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
"""Where the value of a field goes in a template."""
_FILLING = re.compile(r"[A-Za-z0-9.-]+")  # what a setting may bring into the name of a host
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # inet_aton(3) takes 127.1, 0x7f000001 and 2130706433 for addresses
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
    r"|AWS_(?:CONFIG|SHARED_CREDENTIALS|WEB_IDENTITY_TOKEN)_FILE|BOTO_CONFIG|GH_CONFIG_DIR|AZURE_CONFIG_DIR|CLOUDSDK_.*"
    r"|TF_CLI_.*|HELM_.*|ANSIBLE_.*|KRB5_.*|(?:MAVEN|GRADLE|SBT|JRUBY|TAR|GREP|RES)_(?:OPTS|OPTIONS)|GO(?:ROOT|ENV)"
    r"|GOTOOLCHAIN|PHPRC|PHP_INI_SCAN_DIR|VIMINIT|EXINIT|HGRCPATH|ERL_.*|JULIA_.*|R_(?:PROFILE|ENVIRON).*|DENO_.*"
    r"|BUN_.*|GUILE_.*|EMACSLOADPATH|TCLLIBPATH|AWKPATH|TERMINFO|LOCPATH|(?:GTK|QT|GDK)_.*|(?:RSYNC|CVS)_RSH|SUDO_ASKPASS"
    r"|XAUTHORITY|VIRTUAL_ENV|CONDA_.*"
)
"""A variable by which a program is led: to code, to a file, to another proxy."""


CLIENT = "oauth-client"
"""The name under which a profile keeps the application with which it logs in to a provider; no connection's."""


def check_entry(name: str, what: str) -> str:
    """Return what `check_name` does, and the name of the application beside those of connections."""
    return name if name == CLIENT and what == "connection" else check_name(name, what)


def check_name(name: str, what: str) -> str:
    """Return a provider, connection or profile name that is safe as a file name everywhere, or raise (exit code 2)."""
    if name == CLIENT and what == "connection":
        raise AuthsomeError(
            f"`{CLIENT}` is no connection: the application that logs in is kept under this name",
            hint="take another name",
            code=ExitCode.USAGE,
        )
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
    """A DNS name, lower case and without a final dot, and a port.

    A definition may also name all hosts below one (`*.example.com`, by whole labels), and hosts that settings are still
    missing of (`{shop}.example.com`). The latter is the name of no host: no request goes to it until it is `filled`.
    """

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
        if not _HOST.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
            raise ValueError(f"`{text}` is not a host name")
        if port and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536):  # noqa: PLR2004  ports
            raise ValueError(f"`{text}`: not a port")
        return cls(name, int(port or 443))

    @classmethod
    def declared(cls, text: str) -> "Host":
        """Return the host of a definition, which may begin with `*.` or hold slots of settings."""
        if not (SLOT.search(text) or "*." in text):
            return cls.parse(text)
        bare = text.removeprefix("https://")
        wild = bare.startswith("*.")
        parsed = cls.parse(SLOT.sub("x", bare.removeprefix("*.")))
        if wild and "." not in parsed.name:
            raise ValueError(f"`{text}` is every host there is below `{parsed.name}`; write each host exactly")
        name = bare.removesuffix("/").partition(":")[0].lower()
        fixed = name.rpartition("}")[2]
        # NOTE: after a part of a label, as in `*.{x}o.uk`, it would be for a setting to say of which hosts it is all.
        if wild and ("." not in fixed.lstrip(".") or ("{" in name and not fixed.startswith("."))):
            raise ValueError(f"`{text}`: of which hosts it is all has to stand in it, as in `*.{{region}}.example.com`")
        return cls(name, parsed.port)

    @property
    def is_open(self) -> bool:
        """Whether settings are still missing of it."""
        return "{" in self.name

    @property
    def is_wild(self) -> bool:
        """Whether it is all hosts below one."""
        return self.name.startswith("*.")

    @property
    def slots(self) -> tuple[str, ...]:
        """The settings that are missing of it."""
        return tuple(SLOT.findall(self.name))

    def covers(self, other: "Host") -> bool:
        """Whether a host is this one, or one of these."""
        if other == self:
            return True
        below = self.is_wild and self.port == other.port and other.name.endswith(self.name[1:])
        # NOTE: what ends in the right way need not be a name: `evil.example#x.example.com`.
        return below and _HOST.fullmatch(other.name) is not None

    def includes(self, other: "Host") -> bool:
        """Whether all that another one names is among what this one does."""
        below = replace(other, name=other.name.removeprefix("*.")) if self.is_wild else other
        return other == self or self.covers(below)

    def filled(self, settings: Mapping[str, str]) -> "Host":
        """Return the host with the settings in its slots; itself while one is missing, or they make no host."""
        given = {name: settings[name] for name in self.slots if _FILLING.fullmatch(settings.get(name, ""))}
        if not given or len(given) < len(set(self.slots)):
            return self
        wild, name = ("*.", self.name[2:]) if self.is_wild else ("", self.name)
        try:
            return Host(wild + Host.parse(SLOT.sub(lambda slot: given[slot[1]], name)).name, self.port)
        except ValueError:
            return self

    def read(self, text: str) -> Mapping[str, str]:
        """Return the settings that an address of this host holds, none if it is another one.

        Args:
            text: As somebody copies it: `acme.example.com`, `https://acme.example.com/login`.
        """
        rest = re.sub(r"^https://|[/?#].*$", "", text.strip(), flags=re.IGNORECASE | re.DOTALL)
        name, _, port = rest.partition(":")
        if port and port != str(self.port):
            return {}
        found = re.fullmatch(_capturing(self.name), name, re.IGNORECASE)
        return found.groupdict() if found else {}

    @property
    def is_loopback(self) -> bool:
        """Whether the name says by itself that it never leaves this machine (RFC 6761, 6.3)."""
        return self.name == "localhost" or self.name.endswith(".localhost")

    def __str__(self) -> str:
        return self.name if self.port == 443 else f"{self.name}:{self.port}"  # noqa: PLR2004  https


def covered(host: Host, hosts: frozenset[Host] | tuple[Host, ...]) -> bool:
    """Whether a host is one of these."""
    return host in hosts or any(each.covers(host) for each in _wild(hosts))


@lru_cache(maxsize=1024)  # each request asks this of every rule, and few rules have one
def _wild(hosts: frozenset[Host] | tuple[Host, ...]) -> tuple[Host, ...]:
    return tuple(each for each in hosts if each.is_wild)


_PARTS = re.compile(r"\{[a-z_][a-z0-9_]*\}|[^{]+|\{")


def _capturing(name: str) -> str:
    """Return the expression of a host's name, each slot a group; a slot that comes again is the same text."""
    done: set[str] = set()
    made = ""
    for part in _PARTS.findall(name):
        slot = SLOT.fullmatch(part)
        if slot is None:
            made += re.escape(part)
        elif slot[1] in done:
            made += f"(?P={slot[1]})"
        else:
            made += f"(?P<{slot[1]}>[A-Za-z0-9.-]+)"
            done.add(slot[1])
    return made


def placeholder(connection: str) -> str:
    """Return what the child holds instead of this connection's secret."""
    return PLACEHOLDER if connection == DEFAULT_CONNECTION else f"{PLACEHOLDER}-{connection}"
