"""Time commands in turn, A B C A B C …, so that a machine whose speed drifts slows all of them alike."""

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

type Command = Sequence[str]


def turns(commands: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the figures of each, after one round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, measured in commands.items():
            figure = measured()
            if turn:
                found[name].append(figure)
    return found


def wall(command: Command, env: Mapping[str, str], cwd: str) -> float:
    """Return the milliseconds a command takes as a whole process."""
    begin = time.perf_counter()
    subprocess.run(command, env=dict(env), cwd=cwd, capture_output=True, check=True)
    return (time.perf_counter() - begin) * 1000


def show(title: str, found: Mapping[str, Sequence[float]], unit: str, against: str) -> None:
    """Print medians, and the median of the ratios round by round."""
    print(f"\n{title}")
    for name, figures in found.items():
        ratios = [mine / other for mine, other in zip(figures, found[against], strict=True)]
        print(f"  {name:44} {statistics.median(figures):9.2f} {unit}  {statistics.median(ratios):7.2f} x {against}")
