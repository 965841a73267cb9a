"""The screens of what a project's code shows: what `init` found, and what a manifest lacks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from authsome.errors import clean
from authsome.evidence import REST, Evidence, Finding, Kind
from authsome.manifest import Declared
from authsome.outline import Candidate, line, signs
from authsome.screens import counted, either, table


def found(candidates: Sequence[Candidate]) -> str:
    """Return what speaks for each provider."""
    text = ""
    for each in candidates:
        lines = signs(each.findings, lines=True)
        if each.rival:
            lines.append(f"shares a host or a variable with {each.rival}, of which there is more")
        elif not each.strong:
            lines.append("a mention only")
        text += f"{each.name}\n" + "".join(f"  {clean(row)}\n" for row in lines)
    return text


def found_data(candidates: Sequence[Candidate], agreed: Collection[str]) -> list[dict[str, Any]]:
    """Return the providers of `authsome init --json`."""
    return [
        {
            "provider": each.name,
            "declared": each.name in agreed,
            "strong": each.strong,
            "rival": each.rival,
            "evidence": [_finding(finding) for finding in each.findings],
        }
        for each in candidates
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "path": clean(finding.path),
        "line": finding.line,
        "kind": str(finding.kind),
        "seen": finding.seen or None,
        "strong": finding.strong,
    }


def keys(evidence: Evidence) -> list[str]:
    """Return a warning for each line that seems to hold a key, in words without it."""
    owners: dict[str, dict[str, None]] = {}
    for each in evidence.findings:
        if each.kind is Kind.KEY:
            owners.setdefault(each.place, {})[each.provider] = None
    return [f"what looks like a key of {either(tuple(who))} stands in {clean(at)}" for at, who in owners.items()]


def left_out(evidence: Evidence) -> str | None:
    """Return what was not looked at, None if that is nothing."""
    told = sorted(evidence.left_out.items())
    reasons = (what if what.startswith(REST) else f"{what} ({number})" for what, number in told)
    return f"Not looked at: {', '.join(reasons)}" if told else None


def looked_data(evidence: Evidence) -> dict[str, Any]:
    """Return what JSON says of the search itself, and the lines that seem to hold a key."""
    return {
        "files": evidence.files,
        "left_out": dict(sorted(evidence.left_out.items())),
        "keys": [
            {"provider": each.provider, "path": clean(each.path), "line": each.line}
            for each in evidence.findings
            if each.kind is Kind.KEY
        ],
    }


def drift(lacking: Sequence[Finding], connections: Sequence[Declared], name: str, files: int) -> str:
    """Return `authsome check --drift`."""
    if not lacking:
        return f"The code uses nothing that {name} does not declare ({counted(files, 'file')} looked at).\n"
    rows = [(each.place, _use(each), reason(each, connections)) for each in lacking]
    added = "".join(f"  {row}\n" for row in dict.fromkeys(to_add(each, connections) for each in lacking))
    return table(rows) + f"\nAdd to {name}, below `providers:`\n{added}"


def drift_data(lacking: Sequence[Finding], connections: Sequence[Declared]) -> list[Mapping[str, Any]]:
    """Return the list of `authsome check --drift --json`."""
    return [
        {
            "provider": each.provider,
            "path": clean(each.path),
            "line": each.line,
            "kind": str(each.kind),
            "seen": each.seen,
            "reason": reason(each, connections),
            "add": to_add(each, connections),
        }
        for each in lacking
    ]


def _use(finding: Finding) -> str:
    return f"import of {finding.seen}" if finding.kind is Kind.IMPORT else finding.seen


def reason(finding: Finding, connections: Sequence[Declared]) -> str:
    """Return what the manifest lacks for a finding."""
    if finding.provider in {each.provider.name for each in connections}:
        return f"no connection of {finding.provider} sets it"
    return f"{finding.provider} is not declared"


def to_add(finding: Finding, connections: Sequence[Declared]) -> str:
    """Return the line of a manifest that would cover a finding."""
    if finding.provider in {each.provider.name for each in connections}:
        return line(finding.provider, "{connections: {default: }}")
    return line(finding.provider)
