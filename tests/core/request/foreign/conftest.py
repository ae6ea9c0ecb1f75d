"""What the tests of foreign specs share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worldweave.request.foreign import Note, Translation


@pytest.fixture
def said() -> Callable[[Translation, str], Note]:
    """Return the one note of a translation about a path."""

    def said_(made: Translation, path: str) -> Note:
        (note,) = [note for note in made.notes if note.path == path]
        return note

    return said_


@pytest.fixture(scope="session")
def is_request() -> Callable[[Translation], None]:
    """Check that a translation can be read as a request of ours, with no mistake."""
    from worldweave.request.spec import type_problems, value_problems
    from worldweave.request.structure import from_plain

    def check(made: Translation) -> None:
        request = from_plain(made.request)
        assert type_problems(request) == []
        if not made.refused:
            assert value_problems(request) == []

    return check
