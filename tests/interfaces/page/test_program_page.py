"""A program's page in a real browser: it works under the host's address, and can do nothing as the person."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from tests.interfaces.page.conftest import PageHost

from microclaw.programs.changes import operations as programs

SOURCE = (Path(__file__).parents[2] / "vectors" / "pages.c").read_text()


def test_a_sketchs_page_works_and_is_kept_away_from_the_host(host: PageHost, page: Page) -> None:
    host.client.call(programs.install, device="virtual-2", name="pages", source=SOURCE, heap_bytes=16_384, force=True)
    page.goto(f"{host.url}/boards/virtual-2/programs/pages")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open its page").click()
    expect(opened.value.locator("#state")).to_have_text("off by GET")
    opened.value.close()
    # The host's page, which asks with its cookie at any time, is left first.
    page.goto("about:blank")
    sent: list[tuple[str, str]] = []
    # Chromium alone knows which cookies it sends.
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def note(event: dict[str, Any]) -> None:
        sent.append((event["requestId"], event["headers"].get("cookie") or event["headers"].get("Cookie") or ""))

    session.on("Network.requestWillBeSentExtraInfo", note)
    page.goto(f"{host.url}/app/pages/")
    assert re.search(r"/app/pages/~[^/]+/$", page.url)
    expect(page.get_by_role("heading", name="Lamp")).to_be_visible()
    assert page.evaluate("self.origin") == "null"
    # A script's own address with a leading slash.
    expect(page.locator("#state")).to_have_text("off by GET")
    expect(page.locator("#cookie")).to_have_text("SecurityError")
    expect(page.locator("#api")).to_have_text("refused")
    # The first two requests are those of the navigation; from the page itself nothing has a cookie.
    assert [cookie for _, cookie in sent[2:] if cookie] == []
    for name, state in (("on", "on"), ("off", "off"), ("go", "on")):
        page.locator(f"#{name}").click()
        expect(page.locator("#state")).to_have_text(f"{state} by GET")
        assert re.search(r"/app/pages/~[^/]+/$", page.url)
    page.locator("#json").click()
    expect(page.locator("#answer")).to_have_text("on by PUT")
    page.locator("#send").click()
    expect(page.locator("body")).to_have_text("no such page")
    assert re.search(r"/app/pages/~[^/]+/name$", page.url)
    host.client.call(programs.uninstall, device="virtual-2", name="pages")
