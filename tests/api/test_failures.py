"""Errors as HTTP answers."""

from __future__ import annotations

from collections.abc import Iterator

from microclaw import errors
from microclaw.api.failures import STATUS_BY_CODE

_NEVER_ANSWERED = {"no_host"}  # the command line's own


def test_every_error_of_the_tree_has_its_status() -> None:
    codes = {error.code for error in _all(errors.MicroclawError) if error.__module__ == errors.__name__}
    assert codes - _NEVER_ANSWERED <= set(STATUS_BY_CODE)


def _all(root: type[errors.MicroclawError]) -> Iterator[type[errors.MicroclawError]]:
    yield root
    for below in root.__subclasses__():
        yield from _all(below)
