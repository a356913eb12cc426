"""The browser flasher: a button opens the link to the network, and no image has to be put anywhere by hand."""

from __future__ import annotations

import tomllib
from pathlib import Path

from playwright.sync_api import expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.conftest import running_host

__all__ = ["chromium", "open_page"]


def test_a_button_opens_the_link_to_the_network(tmp_path: Path, open_page: OpenPage) -> None:
    home = tmp_path / "home"
    with running_host(home, "--link", "127.0.0.1:0", "--virtual", "0") as host:
        page = open_page(
            str(host.facts["http"]) + str(host.client.post("/v1/signin/links", {"person": "owner"})["path"])
        )
        page.locator(".menu > summary").click()
        page.get_by_role("link", name="Flash a board", exact=True).click()
        expect(page.get_by_role("alert")).to_have_count(1)  # the link is closed, and nothing else is wrong
        page.get_by_role("button", name="Open the link").click()
        page.get_by_role("button", name="Yes").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        choices = host.client.get("/v1/firmware/install")
        assert choices["can_open"]
        assert not any("problem" in chip for chip in choices["chips"])
    assert tomllib.loads((home / "config.toml").read_text())["host"]["link"] == "0.0.0.0:8443"
