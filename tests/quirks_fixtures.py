"""An authorization server with quirks; one for all tests of a file, as if it were new for each."""

from collections.abc import Iterator

import pytest

from quirks import Server


@pytest.fixture(scope="module")
def _quirky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("outside"))
    yield server
    server.close()


@pytest.fixture
def quirky(_quirky: Server) -> Server:
    _quirky.forget()
    return _quirky
