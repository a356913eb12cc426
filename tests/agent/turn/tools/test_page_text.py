"""The text of a page: what a person would read, and no page that keeps the host busy."""

from __future__ import annotations

import pytest

from microclaw.agent.turn.web import MAX_LINKS, page_text

BASE = "https://a.example/dir/page"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("<p>one<p>two", "one\ntwo"),
        ("x<script>if (a < b) alert('</p>')</script>y", "xy"),
        ("x<SCRIPT>no</SCRIPT >y<style>p{}</style>z", "xyz"),
        ("<!-- no --><p>yes</p><!-- never ends", "yes"),
        ("1 < 2 &amp; 3 &gt; 2 &#233;", "1 < 2 & 3 > 2 é"),
        ("<b it's>one</b> it's <a href = 'a>b'>two</a>", "one it's two"),
        ("<title-card>one</title-card><style>no</style-x></style>two", "onetwo"),
        ("\x1b[2Ja\u202eb", "ab"),
        ("a&#x200b;b\U000e0061c&shy;d e\xa0f", "abcd e f"),
        ("İ<B>x</B><SCRIPT>no</SCRIPT>y", "İxy"),
        ("<p title='a<b'>one</p><p>two</p>", "one\ntwo"),
        ('<script data="<">evil()</script>a<svg aria-label="a<b"/>b', "ab"),
    ],
)
def test_text_is_what_a_person_would_read(document: str, text: str) -> None:
    assert page_text(document, BASE).text == text


def test_the_title_and_the_links_are_told_apart() -> None:
    document = (
        "<title>A &amp; B</title><body>text<svg><title>no</title></svg>"
        "<a href=\"../x?a=1&amp;b=2#part\">one</a><a href='//b.example/'>two</a><a href=three>3</a>"
        '<a href="javascript:evil()">no</a><a href="file:///etc/passwd">no</a><a href="http://[">no</a><a>no</a>'
        '<a href="../x?a=1&b=2">again</a>'
    )
    found = page_text(document, BASE)
    assert (found.title, found.text[:4]) == ("A & B", "text")
    assert found.links == (
        ("one", "https://a.example/x?a=1&b=2"),
        ("two", "https://b.example/"),
        ("3", "https://a.example/dir/three"),
    )
    many = "".join(f"<a href=/{number}>x</a>" for number in range(1000))
    assert len(page_text(many, BASE).links) == MAX_LINKS


@pytest.mark.parametrize(
    "pattern",
    ["<a ", "<!--", "<", "</a", "<a b='", "<a/", "<svg>", "<nav><svg></math>", "<script>", "&#", "<a href=/>", "<p>",
     "&#9999999999999", "<title>", "</nav>", "<a href=x>a</a>", "<![CDATA["],
)  # fmt: skip
def test_no_page_takes_more_than_a_moment(pattern: str) -> None:
    size = 64 << 10  # in quadratic time this would be minutes
    assert page_text(pattern * (size // len(pattern)), BASE).text is not None
