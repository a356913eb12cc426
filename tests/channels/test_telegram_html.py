"""Markdown becomes markup that Telegram takes, whatever the text is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.channels.telegram_server import visible_text

from microclaw.channels.telegram.sender import split, telegram_html

WORDS = (
    *(
        "**",
        "*",
        "__",
        "_",
        "~~",
        "`",
        "```",
        "```c\n",
        "\n```\n",
        "\n",
        "\n\n",
        "# ",
        "- ",
        "> ",
        "| a | b |\n",
        "[a](",
    ),
    *('http://x.y/?a=1&b="2"', ")", "[", "]", "\\", "<b>", "</b>", "<", ">", "&", "&amp;", "&lt", '"', "word", " "),
    *("😀", "\x00", "\x1b[31m", "\ud800", "\u202e", "    ", "1. "),
)
PIECES = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@given(PIECES)
def test_markup_is_always_valid(text: str) -> None:
    visible_text(telegram_html(text))


@given(st.text(max_size=400))
def test_markup_of_any_text_is_valid(text: str) -> None:
    visible_text(telegram_html(text))


@given(PIECES.map(lambda text: text * 8))
def test_markup_of_every_piece_of_a_split_text_is_valid_and_fits(text: str) -> None:
    for piece in split(text, 300):
        assert len(visible_text(telegram_html(piece)).encode("utf-16-le")) // 2 <= 300


@given(st.text(st.sampled_from("ab<>&\"' \n"), max_size=200))
def test_text_without_markup_is_seen_as_it_was(text: str) -> None:
    if not any(line.lstrip(" ").startswith(">") for line in text.split("\n")):
        assert visible_text(telegram_html(text)) == text


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("**bold** and *it* and `c < d`", "<b>bold</b> and <i>it</i> and <code>c &lt; d</code>"),
        ("__bold__ _it_ ~~gone~~", "<b>bold</b> <i>it</i> <s>gone</s>"),
        ("# Title #", "<b>Title</b>"),
        ("- one\n  * two", "• one\n  • two"),
        ("[docs](https://a.b/c?d=1&e=2)", '<a href="https://a.b/c?d=1&amp;e=2">docs</a>'),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("```c\nint a = 1 < 2;\n```", '<pre><code class="language-c">int a = 1 &lt; 2;</code></pre>'),
        ("```\nopen", "<pre>open</pre>"),
        ("> said\n> twice", "<blockquote>said\ntwice</blockquote>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<pre>| a | b |\n| 1 | 2 |</pre>"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("pin 2 ___|~~~|___|~~~", "pin 2 ___|~~~|___|~~~"),
        (r"\*not italic\*", "*not italic*"),
        ("a **b *c* d** e", "a **b <i>c</i> d** e"),
        ("**a_b** <script>", "<b>a_b</b> &lt;script&gt;"),
    ],
)
def test_markdown_as_people_write_it(markdown: str, markup: str) -> None:
    assert telegram_html(markdown) == markup
