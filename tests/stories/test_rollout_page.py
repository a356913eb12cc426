"""A rollout begins in the page: its release, its boards, its question; then its boards are taken back there."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from tests.browser import OpenPage, chromium, open_page
from tests.stories.test_page import link
from tests.stories.test_updates import Fleet, fleet

__all__ = ["chromium", "fleet", "open_page"]


def test_a_rollout_begins_in_the_page_and_is_reverted_there(fleet: Fleet, open_page: OpenPage) -> None:
    page = open_page(link(fleet.host))
    page.locator(".menu > summary").click()
    page.get_by_role("link", name="Rollouts", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("No release is published here.")
    fleet.runs("0.0.3")
    assert fleet.publish("1.4.0").code == 0
    page.reload()
    form = page.get_by_role("region", name="A new rollout")
    form.get_by_role("combobox", name="Release").select_option("1.4.0")
    form.get_by_role("combobox", name="For").select_option("lamp")
    form.get_by_role("button", name="Roll out 1.4.0 to lamp").click()
    assert fleet.host.client.get("/v1/rollouts")["rollouts"] == [], "it asks first"
    form.locator(".question button.main").click()
    row = page.get_by_role("listitem", name=re.compile("^rollout "))
    expect(row).to_contain_text("1 healthy")
    assert fleet.version == "1.4.0"
