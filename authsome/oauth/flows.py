"""Which of a provider's ways to tokens a login takes. Pure."""

from authsome.errors import AuthsomeError, ExitCode, clean, did_you_mean
from authsome.oauth import BY_PERSON, REDIRECTED
from authsome.provider import Flow, OAuth


def choose(
    oauth: OAuth,
    default: str,
    wanted: str | None,
    *,
    browser: bool,
    name: str = "the provider",
    command: str = "authsome login …",
) -> Flow:
    """Return the flow of a login; raise `AuthsomeError` (exit code 2) for one that the provider does not have.

    Args:
        default: The definition's own; one that is no flow of OAuth counts for nothing.
        wanted: What somebody has chosen.
        browser: Whether there is one on this machine: without it, a code for another device is easier on a person.
        name: What the provider is called.
        command: What logs in to it.
    """
    there = oauth.asks.flows
    if wanted is not None:
        found = next((flow for flow in there if flow == wanted), None)
        if found is None:
            raise AuthsomeError(
                f"{name} has no flow `{clean(wanted)}`: there is {', '.join(there)}",
                hint=did_you_mean(wanted, there, f"{command} --flow {there[0]}"),
                code=ExitCode.USAGE,
            )
        return found
    best = min(there, key=lambda flow: flow not in BY_PERSON)
    usual = next((each for each in there if each == default), best)
    led_back = browser and not oauth.asks.https_redirect
    return "device_code" if usual in REDIRECTED and not led_back and "device_code" in there else usual
