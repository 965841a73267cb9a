"""One process that forks for all tests of a session."""

from collections.abc import Iterator

import pytest

import forked


@pytest.fixture(scope="session")
def forking() -> Iterator[forked.Server]:
    with forked.serving() as server:
        yield server
