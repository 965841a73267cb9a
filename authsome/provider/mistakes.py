"""What is wrong with a definition, and where."""

from collections.abc import Iterator
from contextlib import contextmanager

from authsome.documents import Where


class MistakeError(ValueError):
    """What is wrong with a definition whose parts each have the right form.

    Attributes:
        where: The keys and indices that lead to it.
    """

    def __init__(self, message: str, where: Where) -> None:
        super().__init__(message)
        self.where = where


@contextmanager
def at(*where: str | int) -> Iterator[None]:
    """Say of a mistake where it is; what the inner part has said stays."""
    try:
        yield
    except MistakeError:
        raise
    except ValueError as error:
        raise MistakeError(str(error), where) from error
