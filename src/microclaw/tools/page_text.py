"""The text of an HTML page for a model: headings, paragraphs, links. It runs nothing and fetches nothing.

A scanner of its own, as html.parser needs quadratic time for tags that never end: 40 KB of `<a ` keep Python 3.11 busy
for 25 s. This one reads each character a bounded number of times; a page that is not well-formed gives what it gives.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin

MAX_LINKS: Final = 40
MAX_TAG_CHARS: Final = 8192
MAX_DEPTH: Final = 64  # of elements that are left out
_ASCII_LOWER: Final = {code: code + 32 for code in range(65, 91)}  # str.lower changes the length of some texts
_RAW: Final = frozenset({"script", "style", "textarea", "noembed", "noframes", "xmp"})  # no tags within
_SKIPPED: Final = frozenset({"nav", "noscript", "template", "svg", "math", "iframe", "object", "select", "canvas"})
_BLOCK: Final = re.compile(
    "address|article|aside|blockquote|body|br|caption|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|li|main|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul"
)
_NAME: Final = re.compile(r"/?([a-zA-Z][a-zA-Z0-9-]{0,31})")
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HUGE_NUMBER: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}")
_SPACES: Final = re.compile(r"[ \t\f\v\r\xa0]+")


@dataclass(frozen=True, slots=True)
class PageText:
    title: str
    text: str
    links: tuple[tuple[str, str], ...]  # words and absolute http(s) address


def page_text(document: str, base_url: str) -> PageText:
    """Without scripts, styles and navigation; where nothing else is there, with the navigation."""
    found = _Scanner(document, base_url, _SKIPPED).scan()
    return found if found.text else _Scanner(document, base_url, _SKIPPED - {"nav"}).scan()


@dataclass(slots=True)
class _Scanner:
    document: str
    base_url: str
    skipped: frozenset[str]
    words: list[str] = field(default_factory=list)
    title: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)  # elements whose words are left out
    in_title: bool = False
    link: tuple[str, int] | None = None  # its address, and where its words begin

    def scan(self) -> PageText:
        at, lower = 0, self.document.translate(_ASCII_LOWER)
        while (start := self.document.find("<", at)) >= 0:
            self._say(self.document[at:start])
            at = self._tag(start, lower)
        self._say(self.document[at:])
        title = " ".join("".join(self.title).split())
        return PageText(title[:300], _tidy("".join(self.words)), tuple(self.links))

    def _tag(self, start: int, lower: str) -> int:
        """Take the tag that begins at `start`; where to go on."""
        if lower.startswith("<!--", start):
            return self._after("-->", start + 4)
        name = _NAME.match(lower, start + 1)
        if name is None:
            if lower.startswith(("<!", "<?"), start):
                return self._after(">", start)
            self._say("<")
            return start + 1
        end = self._after(">", start)
        closing = lower[start + 1] == "/"
        if closing:
            self._close(name[1])
        else:
            self._open(name[1], self.document[start : min(end, start + MAX_TAG_CHARS)])
            if name[1] in _RAW and (closer := lower.find(f"</{name[1]}", end)) >= 0:
                return closer
            if name[1] in _RAW:
                return len(self.document)
        return end

    def _after(self, mark: str, start: int) -> int:
        """Behind the next `mark`; the end of the document when there is none, which ends the scan."""
        found = self.document.find(mark, start)
        return len(self.document) if found < 0 else found + len(mark)

    def _open(self, name: str, tag: str) -> None:
        if name in self.skipped and not tag.endswith("/>") and len(self.inside) < MAX_DEPTH:
            self.inside.append(name)
        elif name == "title" and not self.inside:
            self.in_title = not self.title
        elif name == "a" and not self.inside:
            address = _HREF.search(tag)
            self.link = (next(filter(None, address.groups()), ""), len(self.words)) if address else None
        if _BLOCK.fullmatch(name):
            self._say("\n")

    def _close(self, name: str) -> None:
        if name in self.inside:
            while self.inside.pop() != name:
                pass
        elif name == "title":
            self.in_title = False
        elif name == "a" and self.link is not None and len(self.links) < MAX_LINKS:
            address, begin = self.link
            words = " ".join("".join(self.words[begin:]).split())[:100]
            self._keep_link(words, html.unescape(_HUGE_NUMBER.sub("?", address)))
            self.link = None
        if _BLOCK.fullmatch(name):
            self._say("\n")

    def _keep_link(self, words: str, address: str) -> None:
        try:
            whole = urljoin(self.base_url, address.strip()).partition("#")[0]
        except ValueError:
            return
        known = any(whole == kept for _, kept in self.links)
        if words and not known and whole.startswith(("http://", "https://")) and len(whole) <= 500:
            self.links.append((words, whole))

    def _say(self, text: str) -> None:
        if not text or self.inside:
            return
        plain = html.unescape(_HUGE_NUMBER.sub("?", text))
        if self.in_title:
            self.title.append(plain)
        else:
            self.words.append(plain)


def _tidy(text: str) -> str:
    """Words a space apart, paragraphs a line apart; no character that draws over others."""
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    lines = (_SPACES.sub(" ", line).strip() for line in shown.split("\n"))
    return "\n".join(line for line in lines if line)
