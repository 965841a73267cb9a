"""A certified authorization server; one for all tests of a process, as if it were new for each."""

import shutil
from collections.abc import Iterator

import pytest

from node import npm_ci
from oidc_server import HERE, Certified, keeps_up

pytest_plugins = ["node_fixtures"]


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Certified]:
    node = shutil.which("node")
    if node is None or not keeps_up(node):
        node = request.getfixturevalue("modern_node")
    npm_ci(HERE)
    folder = tmp_path_factory.mktemp("oidc") / "outside"
    folder.mkdir()
    server = Certified(node, folder)
    yield server
    server.close()


@pytest.fixture
def oidc(certified: Certified) -> Certified:
    certified.forget()
    return certified
