"""The screens of `authsome trust`."""

from typing import TYPE_CHECKING

from authsome.errors import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authsome.trust import Difference


def differences(place: str, found: "Sequence[Difference]") -> str:
    """Return what is new (`+`), gone (`-`) and as it was, of everything that was not accepted yet."""
    text = f"What {clean(place.splitlines()[-1])} asks for, and nobody on this machine has accepted:\n"
    for each in found:
        text += f"\n{clean(each.subject)}, {each.against}:\n"
        lines = [*(f"+ {line}" for line in each.added), *(f"- {line}" for line in each.removed)]
        lines += [f"  {line}" for line in each.kept]
        text += "".join(f"  {clean(line)}\n" for line in lines)
    return text
