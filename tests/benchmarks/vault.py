"""What a vault of many credentials costs: open one, list all, add one, add a member, remove one, say what is exposed.

Run it with `uv run python tests/benchmarks/vault.py`. Opening one and adding a member do not grow with the number
held. Most of a removal is waiting for the disk, so its figure is the disk's.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from authsome.provider import Catalogue
from authsome.vault import Identity, Vault, age, roster
from authsome.vault.entry import render
from authsome.vault.keyring import Member

ROUNDS = 5
HELD = (10, 1_000, 10_000)
KEY = {"api_key": "sk-CANARY0123456789abcdefghij"}


def main() -> None:
    """Measure and print milliseconds, the median of a few rounds; of a removal there is one."""
    for held in HELD:
        with tempfile.TemporaryDirectory() as root:
            home = Path(root)
            fill(home, held)
            figures = measured(home)
        print(f"{held:6} " + "  ".join(f"{name} {figure:.1f}" for name, figure in figures.items()))


def fill(home: Path, held: int) -> None:
    """Make a vault, faster than by writing to it."""
    vault = opened(home)
    vault.write(Catalogue(home).get("openai"), "c0", KEY, 0.0)
    keys, entry = vault.own.keys(), vault.read("openai", "c0")
    assert entry
    for number in range(1, held):
        path = vault.own.path / "connections" / "openai" / f"c{number}.age"
        plaintext = render(replace(entry, connection=path.stem), keys, "default")
        path.write_bytes(age.encrypt(plaintext, [keys.identity.recipient], keys.identity))


def measured(home: Path) -> dict[str, float]:
    """Return what each took, in milliseconds; every time with a vault that is opened anew."""
    openai = Catalogue(home).get("openai")
    people = [Member(f"m{number}", Identity.generate("x").recipient) for number in range(ROUNDS)]
    return {
        "open one": timed(lambda _: opened(home).read("openai", "c0")),
        "list all": timed(lambda _: opened(home).states()),
        "add one": timed(lambda turn: opened(home).write(openai, f"new{turn}", KEY, 0.0)),
        "add a member": timed(lambda turn: roster.add(opened(home).own, [people[turn]])),
        "remove a member": timed(lambda turn: roster.remove(opened(home).own, f"m{turn}", 0.0), 1),
        "exposed": timed(lambda _: roster.exposed(opened(home).own), 1),
    }


def timed(call: Callable[[int], object], rounds: int = ROUNDS) -> float:
    """Return the median of some calls in milliseconds."""
    taken = []
    for turn in range(rounds):
        started = time.perf_counter()
        call(turn)
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def opened(home: Path) -> Vault:
    """Return the vault as another process would open it."""
    return Vault(home, "default", {"HOME": str(home)})


if __name__ == "__main__":
    main()
