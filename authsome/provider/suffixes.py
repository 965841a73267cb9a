"""The names below which anybody can have a host of their own.

Promises that no definition sends a key to all hosts below one of them: neither `*.com` nor `*.github.io`. What is on
the list is Mozilla's to say (publicsuffix.org), with the companies' own entries.
"""

from collections.abc import Iterable

from authsome.provider.names import Host


def check(hosts: Iterable[Host]) -> None:
    """Raise `ValueError` if a wildcard among these gives everybody who wants one a host for the key."""
    wild = [host for host in hosts if host.is_wild]
    if not wild:
        return
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  the list takes longer to read than a definition

    known = PublicSuffixList(accept_unknown=True)
    for host in wild:
        base = host.name[2:].rpartition("}.")[2]
        if known.publicsuffix(base) == base:
            raise ValueError(f"`{host}`: below `{base}` anybody can have a host; write each exactly")
