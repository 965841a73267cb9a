"""The screens of a run: what it says before and after, the demo, and the clients that were tried."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from authsome.errors import clean
from authsome.isolation import Level
from authsome.screens import table

if TYPE_CHECKING:
    from authsome.audit import Summary
    from authsome.clients import Result
    from authsome.demo import Shown


def started(names: Sequence[str], level: Level) -> str:
    """Return the line `run` says before the child starts."""
    serving = ", ".join(names) or "no connection"
    kept = "" if level is Level.NOTHING else f" and cannot read {level}"
    return f"authsome: serving {serving}; the agent holds placeholders{kept}"


def fake(names: Sequence[str], file: str | None) -> str:
    """Return the line that says a run is a fake one."""
    how = f"answers come from {file}" if file else "requests are echoed"
    return f"authsome: fake run, without vault and network; {how}: {', '.join(names) or 'nothing is declared'}"


def unanswered(misses: Mapping[str, int], file: str) -> str:
    """Return what a fake run had no answer for."""
    rows = [[f"  {request}", f"{count} x" if count > 1 else ""] for request, count in misses.items()]
    return f"authsome: {file} had no answer for:\n{table(rows)}".rstrip()


def demo(shown: "Shown") -> str:
    """Return `authsome demo`."""
    verdict = (
        "The agent used a key that it never had."
        if shown.proven
        else "This did not work as promised: please report it."
    )
    rows = [
        ("", "the agent", "the provider"),
        ("held", f"DEMO_API_KEY={shown.held}", shown.key),
        ("Authorization header", shown.sent, shown.received or "nothing arrived"),
        ("answer", str(shown.status), str(shown.status)),
    ]
    return f"{table(rows)}\n{verdict}\n"


def demo_data(shown: "Shown") -> dict[str, Any]:
    """Return `authsome demo --json`."""
    return {**asdict(shown), "proven": shown.proven}


def clients(results: "Sequence[Result]") -> str:
    """Return `authsome doctor --clients`."""
    if not results:
        return "None of the clients that doctor knows is on PATH.\n"
    return table([("CLIENT", "VERDICT", "WHAT TO DO"), *((each.client, each.verdict, each.advice) for each in results)])


def clients_data(results: "Sequence[Result]") -> dict[str, Any]:
    """Return `authsome doctor --clients --json`."""
    return {"clients": [asdict(each) for each in results]}


def summary(found: "Summary") -> str:
    """Return what `run --summary` says after the run."""
    if not found.hosts:
        return "authsome: the agent sent no request\n"
    hosts = sorted(found.hosts.items(), key=lambda item: -item[1].requests)
    rows = [
        (host, str(each.requests), str(each.refused), str(each.sent), str(each.received))
        for host, each in hosts[:_SHOWN]
    ]
    text = table([("HOST", "REQUESTS", "REFUSED", "SENT", "RECEIVED"), *rows])
    if len(hosts) > _SHOWN:
        text += f"and {len(hosts) - _SHOWN} hosts more\n"
    if found.refusals:
        text += (
            "\nRefused: " + ", ".join(f"{clean(word)} {count}" for word, count in found.refusals.most_common()) + "\n"
        )
    if found.misplaced:
        text += "\nA placeholder stood where no credential belongs:\n"
        text += "".join(f"  {clean(request)}\n" for request in found.misplaced)
    return text


_SHOWN = 20


def misplaced(requests: Sequence[str]) -> str:
    """Return what is said of requests with a placeholder where no credential belongs."""
    first, more = clean(requests[0]), len(requests) - 1
    others = f" and {more} more" if more else ""
    where = "with a placeholder where no credential belongs"
    return f"authsome: refused, {where}: {first}{others} (see `authsome log --last`)"
