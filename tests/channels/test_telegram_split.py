"""Texts become messages that Telegram takes, cut where a reader would cut them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.channels.telegram.sender import LIMIT, open_fence, split, units

WORDS = st.text(st.sampled_from("ab .\n!?`~-*_😀👩‍💻é\u0301語"), max_size=3000)


@given(WORDS)
def test_every_piece_fits_and_none_is_blank(text: str) -> None:
    for piece in split(text, 200):
        assert units(piece) <= 200
        assert piece.strip()


@given(st.text(max_size=2000))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    whole = "".join(text.split())
    if "`" not in whole:
        assert "".join("".join(split(text, 200)).split()) == whole


@given(WORDS)
def test_code_fences_aside_nothing_but_white_space_is_lost(text: str) -> None:
    joined = "".join("".join(split(text, 200)).split())
    assert re.sub("`+", "", joined).count("a") == text.count("a")
    assert joined.replace("`", "") == "".join(text.split()).replace("`", "")


def test_units_are_those_of_utf_16() -> None:
    assert units("a😀é") == 4
    assert len("😀" * 2048) == 2048
    assert split("😀" * 2048) == ["😀" * 2048]
    assert all(units(piece) <= LIMIT for piece in split("😀" * 2049))


@pytest.mark.parametrize("border", ["\n\n", "\n", ". ", " "])
def test_a_border_is_preferred_to_a_cut_in_a_word(border: str) -> None:
    text = border.join(["word" * 10] * 20)
    for piece in split(text, 200):
        assert re.fullmatch(r"(?:(?:word){10}[.]?\s*)+", piece), piece


def test_a_paragraph_is_the_best_border() -> None:
    first, second = "one. two. " * 12, "three. four.\nfive. " * 8
    assert split(f"{first.strip()}\n\n{second.strip()}", 250)[0] == first.strip()


def test_a_code_block_is_closed_and_opened_again() -> None:
    code = "\n".join(f"    line({n});" for n in range(60))
    pieces = split(f"Here:\n```c\n{code}\n```\nDone.", 300)
    assert len(pieces) > 2
    for piece in pieces:
        assert open_fence(piece) is None
    for piece in pieces[1:-1]:
        assert piece.startswith("```c\n")
        assert piece.endswith("\n```")
    lines = [line for piece in pieces for line in piece.split("\n") if "line(" in line]
    assert lines == code.split("\n")


def test_a_joined_emoji_is_not_torn() -> None:
    family = "👨\u200d👩\u200d👧"
    for piece in split(family * 100, 200):
        assert not piece.startswith("\u200d")
        assert not piece.endswith("\u200d")
