"""The tree of exceptions: codes, exit codes, next steps."""

from __future__ import annotations

import pytest

from microclaw.errors import BuildError, Diagnostic, exit_code_of


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("no_host", 3), ("device_unreachable", 4), ("install_interrupted", 4), ("build_error", 1), ("not_understood", 1)],
)
def test_an_error_known_by_its_code_has_its_exit_code(code: str, exit_code: int) -> None:
    assert exit_code_of(code) == exit_code


def test_a_build_error_without_a_hint_still_says_what_to_do() -> None:
    assert BuildError((Diagnostic("error", "expected expression", "bad.c", 1),)).next_step == (
        "correct bad.c, then build it again"
    )
