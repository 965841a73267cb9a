"""The screens of `authsome providers`: what a search found, what is wrong with a definition, a new one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from authsome.errors import clean
from authsome.lint import Finding, Report, Severity
from authsome.provider import Source
from authsome.screens import counted, table
from authsome.search import Hit

_MATCHES = 3


def found(hits: Sequence[tuple[Hit, Source]]) -> str:
    """Return `authsome providers search`."""
    rows = [
        (hit.provider.name, hit.provider.display_name, hit.provider.category or "-", str(source), _some(hit.matches))
        for hit, source in hits
    ]
    return table([("PROVIDER", "NAME", "CATEGORY", "SOURCE", "FOUND BY"), *rows])


def _some(matches: Sequence[str]) -> str:
    return ", ".join(matches[:_MATCHES])


def found_data(hits: Sequence[tuple[Hit, Source]]) -> list[dict[str, Any]]:
    """Return `authsome providers search --json`."""
    return [
        {
            "provider": hit.provider.name,
            "display_name": hit.provider.display_name,
            "category": hit.provider.category,
            "source": str(source),
            "hosts": list(hit.provider.host_names),
            "variables": list(hit.provider.env),
            "matches": list(hit.matches),
        }
        for hit, source in hits
    ]


def linted(reports: Sequence[Report]) -> str:
    """Return `authsome providers lint`."""
    return "".join(line for each in reports for line in (*_lines(each), _verdict(each)))


def _lines(report: Report) -> list[str]:
    lines = []
    for each in report.findings:
        place = report.path if each.line is None else f"{report.path}:{each.line}"
        hint = f" ({each.hint})" if each.hint else ""
        lines.append(clean(f"{place}: {each.severity}: {each.message}{hint}") + "\n")
    return lines


def _verdict(report: Report) -> str:
    counts = [(report.count(each), each) for each in Severity]
    said = [counted(number, str(each)) for number, each in counts if number]
    state = "does not load" if report.provider is None else "loads"
    return clean(f"{report.path}: {', '.join([state, *said])}") + "\n"


def linted_data(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return `authsome providers lint --json`."""
    return [
        {
            "path": clean(each.path),
            "provider": each.provider.name if each.provider else None,
            "loads": each.provider is not None,
            "findings": findings(each.findings),
        }
        for each in reports
    ]


def findings(given: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return remarks on a file for JSON."""
    return [asdict(each) | {"severity": str(each.severity)} for each in given]


def remarks(given: Sequence[Finding]) -> str:
    """Return the remarks on a file that was just written."""
    return "".join(f"{each.severity}: {each.message}\n" for each in given)
