"""The command line: arguments in, text and exit codes out.

Promises that data goes to standard output and everything else to standard error, that a user's mistake ends in
`Error:` and `Hint:` and never in a traceback, and that no secret is taken as an argument. Every command is a prefix of
`run`; what is expensive is imported by the command that needs it.

The only module that prints and exits.
"""

# Importing them registers their commands, `run` first.
from authsome.cli import agent, commands, doctor, history, identity, vault, why
from authsome.cli.frame import main

__all__ = ["agent", "commands", "doctor", "history", "identity", "main", "vault", "why"]
