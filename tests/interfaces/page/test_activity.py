"""What was changed on the boards: by day in the host's time zone, by board, undone and redone in its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, Route, expect
from tests.interfaces.page.conftest import OpenPage, PageHost, go, say

from microclaw.wire.host_api import StreamResult

ZONE = "Pacific/Kiritimati"
FAR_ZONE = "Pacific/Niue"
"""25 hours behind: it never has the same day."""


@pytest.fixture(scope="module")
def far_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    home = tmp_path_factory.mktemp("far") / "home"
    with PageHost(home, config=f'[agent]\ntimezone = "{ZONE}"\n', boards=2).running() as found:
        yield found


def set_pin(host: PageHost, board: str, pin: int) -> None:
    host.client.post(f"/v1/devices/{board}/call", {"method": "gpio.set", "arguments": {"pin": pin, "level": 1}})


def long_ago(route: Route) -> None:
    """Send the changes with the oldest of them in the spring."""
    body: dict[str, Any] = route.fetch().json()
    body["changes"][-1]["local_time"] = "2026-03-01 23:59"
    route.fulfill(json=body)


def test_changes_stand_by_the_hosts_day_and_by_board_and_each_is_undone_in_its_row(
    far_host: PageHost, open_page: OpenPage
) -> None:
    set_pin(far_host, "virtual-1", 4)
    set_pin(far_host, "virtual-2", 5)
    page = open_page(far_host.link(), timezone_id=FAR_ZONE)
    page.route("**/v1/changes?limit=100", long_ago)
    go(page, "Activity")
    main = page.get_by_role("main")
    expect(main.get_by_role("region")).to_have_count(2)
    old = main.get_by_role("region", name=re.compile("^Sunday, 2026-03-01$"))
    expect(old.get_by_role("listitem")).to_have_text("23:59 owner set pin 4 high on virtual-1 Undo")
    newest = far_host.client.get("/v1/changes")["changes"][0]
    at = datetime.fromtimestamp(newest["at_ms"] / 1000, ZoneInfo(ZONE))
    assert newest["local_time"] == f"{at:%Y-%m-%d %H:%M}"
    day = main.get_by_role("region").first
    expect(day.get_by_role("listitem")).to_have_text(f"{at:%H:%M} owner set pin 5 high on virtual-2 Undo")
    main.locator("label", has_text="all boards").locator("select").select_option("virtual-2")
    # The steps of an undo are list items, too.
    rows = main.locator("section > .rows > li")
    expect(rows).to_have_count(1)
    row = rows.filter(has_text="set pin 5 high")
    row.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("undone owner set pin 5 high")
    expect(row.get_by_role("button")).to_have_count(0)
    undo = rows.filter(has_text="undid: set pin 5 low on virtual-2")
    undo.get_by_role("button", name="Redo").click()
    expect(undo.locator(".step")).to_have_count(1)
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("undid: set pin 5 high")
    read = {"method": "gpio.get", "arguments": {"pin": 5}}
    assert far_host.client.post("/v1/devices/virtual-2/call", read)["result"]["level"] == 1


def test_the_first_day_is_named_today_by_the_host(far_host: PageHost, open_page: OpenPage) -> None:
    set_pin(far_host, "virtual-1", 6)
    page = open_page(far_host.link(), timezone_id=FAR_ZONE)

    def as_of_its_day(route: Route) -> None:
        body: dict[str, Any] = route.fetch().json()
        body["changes"] = body["changes"][:1]
        body["today"] = body["changes"][0]["local_time"][:10]
        route.fulfill(json=body)

    today = far_host.client.get("/v1/changes")["today"]
    assert abs((date.fromisoformat(today) - datetime.now(ZoneInfo(ZONE)).date()).days) <= 1
    page.route("**/v1/changes?limit=100", as_of_its_day)
    go(page, "Activity")
    expect(page.get_by_role("region", name="Today")).to_contain_text("set pin 6 high on virtual-1")


def install(host: PageHost, name: str) -> None:
    body = {"name": name, "source": '#include "microclaw.h"\nvoid on_init(void) {}\n'}
    *_, end = host.client.stream("/v1/devices/virtual-1/apps", body)
    assert isinstance(end, StreamResult), end


def test_an_undo_that_finds_the_board_full_asks_which_program_it_replaces(
    far_host: PageHost, open_page: OpenPage
) -> None:
    install(far_host, "first")
    list(far_host.client.stream("/v1/devices/virtual-1/apps/first", method="DELETE"))
    for name in ("second", "third", "fourth"):
        install(far_host, name)
    page = open_page(far_host.link())
    go(page, "Activity")
    removal = re.compile("removed? first on virtual-1")
    row = page.get_by_role("main").locator("section > .rows > li", has_text=removal).first
    row.get_by_role("button", name="Undo").click()
    expect(row.locator(".problem")).to_contain_text("has room for 3 apps")
    expect(row.locator(".problem .next")).to_have_count(0)
    row.get_by_role("button", name="Replace third").click()
    expect(row).to_contain_text("undone owner")
    apps = {app["name"]: app["condition"] for app in far_host.client.get("/v1/apps")["apps"]}
    assert apps == {"first": "running", "second": "running", "third": "stopped", "fourth": "running"}


def test_a_schedule_is_listed_and_undone_in_activity_and_under_its_answer(host: PageHost, page: Page) -> None:
    turn = say(page, "every weekday at 7:00 turn on pin 4 on virtual-1")
    expect(turn.locator(".answer")).to_contain_text("every weekday at 07:00")
    turn.get_by_role("button", name="Undo").click()
    expect(page.locator(".turn .mine").last).to_have_text("undo")
    expect(page.locator(".turn").last.locator(".answer")).to_contain_text("every weekday at 07:00")
    assert host.client.get("/v1/schedules")["schedules"] == []
    host.client.post("/v1/schedules", {"when": "every day at 8:00", "do": "turn on pin 5 on virtual-1"})
    go(page, "Activity")
    row = page.locator("section > .rows > li", has_text="made schedule")
    expect(row).to_contain_text("every day at 8:00")
    row.get_by_role("button", name="Remove").click()
    row.get_by_role("button", name="Yes").click()
    expect(row).to_have_count(0)
    assert host.client.get("/v1/schedules")["schedules"] == []
