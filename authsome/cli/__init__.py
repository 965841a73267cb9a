"""The command line: arguments in, text and exit codes out.

Promises that data goes to standard output and everything else to standard error, that a user's mistake ends in
`Error:` and `Hint:` and never in a traceback, and that no secret is taken as an argument. Every command is a prefix of
`run`; what is expensive is imported by the command that needs it.

The only module that prints and exits.
"""

import gc
import os
import sys

from authsome.cli import quick

__all__ = ["main"]

_NEW_OBJECTS = 100_000
"""So many, not 2000, before Python looks for garbage: what is imported is none, and looking took a tenth of a start."""


def main() -> None:
    """Run the command line and exit."""
    gc.set_threshold(_NEW_OBJECTS)
    _stand_in()
    try:
        if asked := quick.read(sys.argv[1:]):
            from authsome.cli import agent

            settings, command, more = asked
            agent.run(settings, command, **more)
        # Importing them registers their commands, `run` first.
        from authsome.cli import (  # noqa: I001
            run,  # noqa: F401
            check,  # noqa: F401
            init,  # noqa: F401
            login,  # noqa: F401
            remove,  # noqa: F401
            set_default,  # noqa: F401
            show,  # noqa: F401
            register,  # noqa: F401
            providers,  # noqa: F401
            export,  # noqa: F401
            demo,  # noqa: F401
            doctor,  # noqa: F401
            frame,
            history,  # noqa: F401
            identity,  # noqa: F401
            importing,  # noqa: F401
            profile,  # noqa: F401
            recipients,  # noqa: F401
            schema,  # noqa: F401
            trust,  # noqa: F401
            trying,  # noqa: F401
            vault,  # noqa: F401
            whoami,  # noqa: F401
            why,  # noqa: F401
            help,  # noqa: A004, F401
            completion,  # noqa: F401
        )

        frame.main()
    finally:
        gc.freeze()  # or Python looks through all of it once more before it ends


def _stand_in() -> None:
    """Put the null device where a standard stream was closed, as git does.

    NOTE: the next file that is opened would get its number, and a vault's file what is meant for the screen.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            if name != "stdin":  # whoever reads a key from it says that it is closed
                setattr(sys, name, os.fdopen(number, "w"))
