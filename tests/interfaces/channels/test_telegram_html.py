"""Markdown becomes markup and messages that Telegram takes, cut as a reader would cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.interfaces.channels.telegram_server import visible_text

from microclaw.interfaces.channels.telegram.markup import count_units, split, telegram_html

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
    assert all(count_units(piece) <= 200 and piece.strip() for piece in pieces)
    if "```" not in text:
        assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("**bold** and *it* and `c < d`", "<b>bold</b> and *it* and <code>c &lt; d</code>"),
        ("[docs](https://a.b/c?d=1&e=2)", '<a href="https://a.b/c?d=1&amp;e=2">docs</a>'),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("```c\nint a = 1 < 2;\n```", '<pre><code class="language-c">int a = 1 &lt; 2;</code></pre>'),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<pre>| a | b |\n| 1 | 2 |</pre>"),
        ("pin 2 ___|~~~|___|~~~", "pin 2 ___|~~~|___|~~~"),
        ("**a_b** <script>", "<b>a_b</b> &lt;script&gt;"),
    ],
)
def test_markdown_as_people_write_it(markdown: str, markup: str) -> None:
    assert telegram_html(markdown) == markup
