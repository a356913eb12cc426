"""The runtime's words never reach the person: each trap is told plainly, with its place and a next step."""

from __future__ import annotations

import pytest

from microclaw.apps.traps import trap_words
from microclaw.virtual.runtime.instance import TRAP_TEXTS


@pytest.mark.parametrize("text", sorted(set(TRAP_TEXTS.values())))
def test_no_word_of_the_runtime_is_told(text: str) -> None:
    error, step = trap_words(f"Exception: {text} (line 7, in main)")
    assert error.startswith("it trapped at line 7, in main: ")
    assert text not in error
    assert step


def test_without_a_place_the_words_are_the_same() -> None:
    assert trap_words("Exception: undefined element")[0] == (
        "it trapped: it calls a function pointer that points to no function"
    )


def test_a_full_stack_is_not_called_a_wild_pointer() -> None:
    error, step = trap_words(
        "Exception: out of bounds memory access (the stack is full: f calls itself without end (line 3))"
    )
    assert error == "its stack is full: f calls itself without end (line 3)"
    assert "recursion" in step


def test_a_missing_native_is_named() -> None:
    text = "Exception: failed to call unlinked import function (env, lv_init) (line 3, in main)"
    assert trap_words(text)[0] == "it trapped at line 3, in main: the firmware has no function lv_init"


def test_an_unknown_text_is_kept() -> None:
    assert trap_words("Exception: exception thrown by stdc++")[0] == "it trapped: exception thrown by stdc++"
