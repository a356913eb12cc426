"""A real Chromium for tests of the page: a browser for each file; every test has a profile of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

WAIT_MS = 180_000
"""How long to wait for what a page is to show: on a loaded machine a start of the browser alone takes a minute."""
expect.set_options(timeout=WAIT_MS)
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEPT_ON = ["--disable-back-forward-cache"]
"""Playwright's own arguments that are left out: people's browsers keep a page that was left, as these do then."""
OpenPage: TypeAlias = Callable[..., Page]


@pytest.fixture(scope="module")  # while it is there, this thread has a running event loop, which no other test wants
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "there is no chromium: sudo make setup-system"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS, ignore_default_args=KEPT_ON)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Pages of empty profiles. What a script of the page fails at fails the test."""
    failures: list[str] = []
    with ExitStack() as stack:

        def opened(address: str, context: BrowserContext | None = None, **options: Any) -> Page:
            if context is None:
                context = chromium.new_context(**options)
                stack.callback(_close, context)
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("pageerror", lambda error: failures.append(str(error)))
            page.on("console", lambda line: _note_refusal(line.text, failures))
            page.goto(address)
            return page

        yield opened
    assert failures == []


class Interception:
    """Requests of a page that fail, or are answered by the test, until it ends.

    Its route stays until the page is closed: a route that is taken away while it answers a request fails the test.
    """

    def __init__(
        self, pages: Page | BrowserContext, url: str | re.Pattern[str], answer: Callable[[Route], None] = Route.abort
    ) -> None:
        self._answer = answer
        self._lasts = True
        pages.route(url, self._take)

    def end(self) -> None:
        self._lasts = False

    def _take(self, route: Route) -> None:
        if self._lasts:
            self._answer(route)
        else:
            route.fallback()


def _close(context: BrowserContext) -> None:
    context.unroute_all(behavior="ignoreErrors")
    for page in context.pages:
        page.unroute_all(behavior="ignoreErrors")
    context.close()


def _note_refusal(line: str, failures: list[str]) -> None:
    if "Content Security Policy" in line:
        failures.append(line)
