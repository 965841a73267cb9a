"""One world for all tests with real clients, and for each of them a user in it."""

from collections.abc import Iterator

import pytest

from conftest import CommandLine
from world import Setup, World, hold

pytest_plugins = ["forked_fixtures"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # What a provider has is full of secrets, and the search for canaries knows this name.
    folder = tmp_path_factory.mktemp("world") / "outside"
    folder.mkdir()
    with hold(folder) as made:
        yield made


@pytest.fixture
def setup(world: World, authsome: CommandLine, forked_lines: None) -> Setup:
    """A user whose logins are forks; what is run in the world is a process like any other."""
    del forked_lines
    world.record.forget()
    made = Setup(world, authsome)
    made.temporary.mkdir()
    return made
