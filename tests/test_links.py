"""README, SECURITY, ... and docs/: each relative link leads to a file, and to a heading, that is there. No network."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
FENCE: Final = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
CODE: Final = re.compile(r"`[^`\n]*`")


@functools.cache
def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """The ids that GitHub gives a page's headings; a second one of the same words gets -1, and so on."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", _prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = sum(1 for one in found if re.fullmatch(rf"{re.escape(base)}(?:-\d+)?", one))
        found.append(f"{base}-{count}" if count else base)
    return frozenset(found)


def broken_links(page: Path, text: str) -> list[str]:
    """Each link of `text`, which lies where `page` does, with what is wrong."""
    faults: list[str] = []
    for link in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        path, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        if path:
            target = (page.parent / path).resolve()
        else:
            target = page
        if not target.exists():
            faults.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            faults.append(f"{link}: {target.name} has no such heading")
    return faults


def test_each_relative_link_leads_somewhere() -> None:
    found = {page.name: broken_links(page, page.read_text(encoding="utf-8")) for page in PAGES}
    assert {name: links for name, links in found.items() if links} == {}


def test_each_page_is_on_the_map_and_the_readme_is_short() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(_prose(index))}
    pages = (*ROOT.glob("docs/*.md"), *ROOT.glob("docs/reference/*.md"))
    missing = [page.name for page in pages if page not in {*linked, index}]
    assert not missing
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
