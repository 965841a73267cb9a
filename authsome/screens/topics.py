"""What is about all commands: exit codes and environment variables."""

from typing import Any

from authsome.errors import ExitCode, RunExit
from authsome.screens import table

VARIABLES = {
    "AUTHSOME_HOME": "the folder of profiles, identity and own definitions; else ~/.authsome",
    "AUTHSOME_PROFILE": "whose secrets; `--profile` wins over it, it wins over authsome.yaml",
    "AUTHSOME_FILE": "the manifest; `--file` wins over it; else authsome.yaml here or above",
    "AUTHSOME_IDENTITY": "the key that opens the vault, itself; never passed to an agent",
    "AUTHSOME_IDENTITY_FILE": "a file that holds it",
    "AUTHSOME_IDENTITY_COMMAND": "a program that prints it, run without a shell",
    "AUTHSOME_VAULT_PIN": "the fingerprint that the vault has to have, for CI",
    "AUTHSOME_TRUST_PIN": "the digest of what the project may ask for, for CI",
    "AUTHSOME_RUN": "set inside a run: commands that give out or change secrets refuse",
}
"""Those of authsome's own."""

HEEDED = {
    "CI": "nobody is asked anything, as with `--no-input`",
    "HTTPS_PROXY, NO_PROXY": "how a run reaches providers",
    "SSL_CERT_FILE, SSL_CERT_DIR": "roots that a run trusts beside the system's",
    "DISPLAY, WAYLAND_DISPLAY": "without one, keys are asked at the terminal and not on a page",
    "BROWSER": "what opens the page",
}
"""Those of others that it heeds."""


def exit_codes() -> str:
    """Return `authsome help exit-codes`."""
    rows = [(str(each.value), each.meaning) for each in ExitCode]
    of_run = [(str(each.value), each.meaning) for each in RunExit]
    every = f"Every command but `run` ends with\n{_indented(rows)}"
    return f"{every}\n`run` ends with the agent's own code, or\n{_indented(of_run)}"


def exit_codes_data() -> dict[str, Any]:
    """Return `authsome help exit-codes --json`."""
    return {
        name: [{"code": each.value, "name": each.name.lower(), "meaning": each.meaning} for each in codes]
        for name, codes in (("commands", list(ExitCode)), ("run", list(RunExit)))
    }


def environment() -> str:
    """Return `authsome help environment`."""
    mine, others = _indented(list(VARIABLES.items())), _indented(list(HEEDED.items()))
    return f"authsome reads\n{mine}\nand heeds\n{others}"


def environment_data() -> dict[str, Any]:
    """Return `authsome help environment --json`."""
    return {
        "variables": [
            {"name": name, "meaning": meaning, "own": own}
            for known, own in ((VARIABLES, True), (HEEDED, False))
            for names, meaning in known.items()
            for name in names.split(", ")
        ]
    }


def _indented(rows: list[tuple[str, str]]) -> str:
    return "".join(f"  {line}\n" for line in table(rows).splitlines())
