"""A host as a process, once for all tests of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.browser import WAIT_MS, OpenPage, chromium, open_page
from tests.host_process import HostProcess
from tests.postgres import free_port

__all__ = ["WAIT_MS", "OpenPage", "PageHost", "chromium", "go", "open_board", "open_page", "program_of", "say", "yes"]
HOME = "What should a board do?"
RUNS = re.compile(r"\b(runs|is) on virtual-")  # verified or, on a busy machine, not
_BEGUN: WeakSet[Page] = WeakSet()


class PageHost(HostProcess):
    """A host with virtual boards, at one address over all its starts."""

    def __init__(
        self, home: Path, *, config: str = "", boards: int = 1, link: str = "off", cache: Path | None = None
    ) -> None:
        super().__init__(home)
        self._words = ("--link", link, "--virtual", str(boards))
        if cache is None:
            self._more = {}
        else:
            self._more = {"MICROCLAW_CACHE": str(cache)}
        self.url = f":{free_port()}"
        home.mkdir(mode=0o700)
        (home / "config.toml").write_text(config)

    def start(self, *words: str, **environ: str) -> None:
        port = self.url.rpartition(":")[2]
        super().start("--port", port, *self._words, *words, **{**self._more, **environ})
        self.url = str(self.facts["http"])

    def link(self, person: str = "owner") -> str:
        """A link that signs a browser in once."""
        return self.url + str(self.client.post("/v1/signin/links", {"person": person})["path"])

    def end_sessions(self) -> None:
        for one in self.client.get("/v1/signins")["signins"]:
            self.client.delete(f"/v1/signins/{one['id']}")


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    found = PageHost(tmp_path_factory.mktemp("page") / "home", boards=2)
    with found.running():
        yield found


@pytest.fixture
def page(host: PageHost, open_page: OpenPage) -> Page:
    """The owner's page, signed in by a link."""
    found = open_page(host.link())
    expect(found.get_by_role("heading", name=HOME)).to_be_visible()
    return found


def go(page: Page, view: str) -> None:
    """To a view of the bar, or to one behind the gear."""
    bar = page.get_by_role("navigation", name="Views")
    expect(bar).to_be_visible()
    if bar.get_by_role("link", name=re.compile(f"^{view}")).count() == 0:
        page.locator(".menu > summary").click()
        bar = page.get_by_role("navigation", name="More views")
    bar.get_by_role("link", name=re.compile(f"^{view}")).click()
    expect(page.get_by_role("heading", name=HOME if view == "Home" else view, level=1)).to_be_visible()


def yes(question: Locator) -> Locator:
    """The button that lets it be done; its words are those of the act."""
    return question.locator("button.main")


def say(page: Page, sentence: str) -> Locator:
    """Send a sentence in the chat, in a conversation of this page's own; its turn."""
    go(page, "Chat")
    if page not in _BEGUN:
        _BEGUN.add(page)
        page.get_by_role("button", name="New conversation").click()
    turns = page.locator(".turn")
    count = turns.count()
    page.get_by_label("Message").fill(sentence)
    page.get_by_role("button", name="Send").click()
    turn = turns.nth(count)
    expect(turn.locator(".mine")).to_have_text(sentence)
    return turn


def program_of(turn: Locator) -> str:
    """The name of the program that the turn put on a board; it depends on what is there already."""
    answer = turn.locator(".answer")
    expect(answer).to_contain_text(RUNS)
    return answer.inner_text().split()[0]


def open_board(page: Page, name: str, tab: str = "pins") -> None:
    go(page, "Home")
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name=tab, exact=True).click()
