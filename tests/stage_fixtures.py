"""The stage of the gallery; a file that needs another one makes its own fixture `furnished`."""

from collections.abc import Iterator

import pytest

import stage as stages
from stage import PROTOCOLS, Stage


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside")) as made:
        yield made


@pytest.fixture
def stage(furnished: Stage) -> Stage:
    furnished.forget()
    return furnished


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)
