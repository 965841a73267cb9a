"""An origin that a test writes the answers of; one for all tests of a file, as if it were new for each."""

from collections.abc import Iterator

import pytest

from scripted import Origin


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    origin = Origin(tmp_path_factory.mktemp("outside"))
    yield origin
    origin.close()


@pytest.fixture
def origin(made: Origin) -> Origin:
    made.forget()
    return made
