"""Markdown becomes markup and messages that Telegram takes, cut as a reader would cut them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.channels.telegram_server import visible_text

from microclaw.channels.telegram.markup import open_fence, split, telegram_html, units

WORDS = (
    "**", "*", "__", "_", "~~", "`", "```", "```c\n", "\n```\n", "\n", "\n\n", "# ", "- ", "> ", "1. ", " ", "    ",
    "| a | b |\n", "[a](", 'http://x.y/?a=1&b="2"', ")", "[", "]", "\\", "<b>", "</b>", "<", ">", "&", "&amp;", "&lt",
    '"', "word", "😀", "\x00", "\x1b[31m", "\ud800", "\u202e",
)  # fmt: skip
PIECES = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@given(PIECES | st.text(max_size=400))
def test_markup_of_every_piece_is_valid_and_fits(text: str) -> None:
    visible_text(telegram_html(text))
    for piece in split(text * 8, 300):
        assert len(visible_text(telegram_html(piece)).encode("utf-16-le")) // 2 <= 300


@given(st.text(st.sampled_from("ab .\n!?`~-*_😀👩‍💻é\u0301語"), max_size=3000) | st.text(max_size=2000))
def test_every_piece_fits_and_but_for_fences_no_letter_is_lost(text: str) -> None:
    pieces = split(text, 200)
    assert all(units(piece) <= 200 and piece.strip() for piece in pieces)
    if "```" not in text:
        assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_message_is_measured_in_utf_16() -> None:
    assert [len(split("😀" * count)) for count in (2048, 2049)] == [1, 2]


@given(st.text(st.sampled_from("ab<>&\"' \n"), max_size=200))
def test_text_without_markup_is_seen_as_it_was(text: str) -> None:
    assert visible_text(telegram_html(text)) == text


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("**bold** and *it* and `c < d`", "<b>bold</b> and *it* and <code>c &lt; d</code>"),
        ("# Title #", "<b>Title</b>"),
        ("- one\n  * two", "• one\n  • two"),
        ("[docs](https://a.b/c?d=1&e=2)", '<a href="https://a.b/c?d=1&amp;e=2">docs</a>'),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("```c\nint a = 1 < 2;\n```", '<pre><code class="language-c">int a = 1 &lt; 2;</code></pre>'),
        ("```\nopen", "<pre>open</pre>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<pre>| a | b |\n| 1 | 2 |</pre>"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("pin 2 ___|~~~|___|~~~", "pin 2 ___|~~~|___|~~~"),
        ("**a_b** <script>", "<b>a_b</b> &lt;script&gt;"),
    ],
)
def test_markdown_as_people_write_it(markdown: str, markup: str) -> None:
    assert telegram_html(markdown) == markup


@pytest.mark.parametrize("border", ["\n\n", "\n", ". ", " "])
def test_a_border_is_preferred_to_a_cut_in_a_word(border: str) -> None:
    text = border.join(["word" * 10] * 20)
    for piece in split(text, 200):
        assert re.fullmatch(r"(?:(?:word){10}[.]?\s*)+", piece), piece


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
