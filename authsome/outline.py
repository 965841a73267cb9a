"""The first `authsome.yaml` of a project, from what its code shows.

Promises text that loads, declares exactly the providers that were agreed to, and says in a comment why each stands
there. Refuses to pass words of the repository on as anything but a comment of one line.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from authsome.errors import clean
from authsome.evidence import Evidence, Finding, Kind
from authsome.provider import Provider, bundled

SCHEMA = ".authsome/schema.json"
"""Where an editor finds what a manifest may say, from the manifest's folder."""

_MOST_PLACES = 3
_ORDER = tuple(Kind)
_OTHER_THAN_TEXT = re.compile(r"[0-9].*|null|true|false|yes|no|on|off|y|n")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider of which there are signs.

    Attributes:
        rival: Another candidate, with more signs, that claims a host or a variable of this one: a manifest cannot
            declare both.
    """

    provider: Provider
    findings: tuple[Finding, ...]
    rival: str | None = None

    @property
    def name(self) -> str:
        """The provider's."""
        return self.provider.name

    @property
    def strong(self) -> bool:
        """Whether it is worth a question."""
        return self.rival is None and any(each.strong for each in self.findings)


def candidates(evidence: Evidence, providers: Iterable[Provider]) -> tuple[Candidate, ...]:
    """Return the providers of which there are signs, by name, those with strong ones first."""
    found: dict[str, list[Finding]] = {}
    for finding in evidence.findings:
        found.setdefault(finding.provider, []).append(finding)
    made = [Candidate(each, tuple(found[each.name])) for each in providers if each.name in found]
    made.sort(key=lambda each: (not each.strong, -len({one.seen for one in each.findings}), each.name))
    owners: dict[object, str] = {}
    for place, each in enumerate(made):
        claims = (*each.provider.hosts, *each.provider.env)
        rival = next((owners[claim] for claim in claims if claim in owners), None)
        if rival:
            made[place] = Candidate(each.provider, each.findings, rival)
        else:
            owners |= dict.fromkeys(claims, each.name)
    return tuple(sorted(made, key=lambda each: (not each.strong, each.name)))


def signs(findings: Iterable[Finding], *, lines: bool) -> list[str]:
    """Return one line for each thing that was seen, with the first places of it.

    Args:
        lines: Say the line in each file, too; a file that is checked in would soon be wrong about them.
    """
    known = tuple(findings)
    told_by = [each for each in known if each.strong] or known  # a mention adds nothing to a use
    ordered = sorted(told_by, key=lambda each: (_ORDER.index(each.kind), each.seen))
    places: dict[str, dict[str, None]] = {}
    for each in ordered:
        place = clean(each.place if lines else each.path)
        places.setdefault(_WORDS[each.kind].format(each.seen), {})[place] = None
    return [f"{what} in {_some(tuple(where))}" for what, where in places.items()]


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return ", ".join(places[:_MOST_PLACES]) + more


_WORDS = {
    Kind.VARIABLE: "{}",
    Kind.ENV_FILE: "{}",
    Kind.IMPORT: "import of {}",
    Kind.PACKAGE: "package {}",
    Kind.HOST: "{}",
    Kind.KEY: "what looks like a key",
}


def line(name: str, value: str = "") -> str:
    """Return a provider's line of a manifest; what YAML takes for a number or a truth is quoted."""
    key = f'"{name}"' if _OTHER_THAN_TEXT.fullmatch(name) else name
    return f"{key}: {value}".rstrip()


def text(found: Collection[Candidate], agreed: Collection[str], *, schema: bool) -> str:
    """Return the manifest.

    Args:
        agreed: Names of the providers to declare; the other candidates stand in it as comments.
        schema: Name the schema beside it, for editors.
    """
    rows = [f"# yaml-language-server: $schema={SCHEMA}"] if schema else []
    rows += [
        "# What this project's agent may use. Check this file in: it names accounts, it holds no secret.",
        "# `authsome check` compares it with what you hold, `authsome check --drift` with the code.",
        "version: 1",
        "",
    ]
    declared = [each for each in found if each.name in agreed]
    rows.append("providers:" if declared else "providers: {} # without the braces once a provider stands below")
    for each in (*declared, *(each for each in found if each.name not in agreed)):
        rows += [*_comments(each), *_entry(each, declared=each.name in agreed), ""]
    rows += [
        "# Hosts of no provider above: `allow` lets them through unread, `deny` refuses all but those named.",
        "egress:",
        "  default: allow",
        "  allow: []",
        "",
        "# What the kernel withholds from the agent: `auto` all that it can, `require` no less, `off` nothing.",
        "isolation: auto",
    ]
    return "\n".join(rows) + "\n"


def _entry(candidate: Candidate, *, declared: bool) -> list[str]:
    if declared:
        return [f"  {line(candidate.name)}"]
    why = f"  # Shares a host or a variable with {candidate.rival}: declare one of them."
    return [*([why] if candidate.rival else ()), f"  # {line(candidate.name, '{required: false}')}"]


def _comments(candidate: Candidate) -> list[str]:
    # NOTE: `Seen:` comes first, so that no path can make a comment that a program reads, as editors do `# yaml-…:`.
    # Where a key stands in the clear is nobody's business but that of who runs this.
    told = signs((each for each in candidate.findings if each.kind is not Kind.KEY), lines=False)
    return [f"  # Seen: {each}" for each in told]


def schema_file() -> Path | None:
    """Return the schema of a manifest that ships with the program, if it does."""
    path = bundled("schemas") / "authsome.schema.json"
    return path if path.is_file() else None
