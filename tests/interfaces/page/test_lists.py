"""The views of what the host keeps: schedules, people and tokens, telemetry, memory, usage, rollouts."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, expect
from tests.interfaces.page.conftest import OpenPage, PageHost, go

HOUR_MS = 3_600_000
SOME_TIME = re.compile(r"\d+:\d\d:\d\d")


def test_a_schedule_is_added_runs_now_and_is_removed(host: PageHost, page: Page) -> None:
    go(page, "Schedules")
    form = page.get_by_role("form", name="A new schedule")
    form.get_by_label("When").fill("when it suits you")
    form.get_by_label("Do what").fill("turn on pin 12")
    form.get_by_label("Board").select_option("virtual-2")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_role("alert")).to_contain_text("next:")
    expect(form.get_by_label("Do what")).to_have_value("turn on pin 12")
    form.get_by_label("When").fill("every day at 08:00")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_role("status").first).to_contain_text("is kept")
    number = max(one["schedule"] for one in host.client.get("/v1/schedules")["schedules"])
    row = page.get_by_role("listitem", name=f"schedule {number}", exact=True)
    expect(row).to_contain_text("It has not run yet.")
    expect(row).to_contain_text("made by owner")
    expect(row).to_contain_text(re.compile(r"next: (today|tomorrow), 20\d\d-\d\d-\d\d 08:00 "))
    row.get_by_role("button", name="Run now").click()
    expect(row.locator(".last .badge")).to_have_text("done")
    assert 12 in [pin for _, pin, _ in host.client.get("/v1/devices/virtual-2/edges")["edges"]]
    row.get_by_role("button", name="Remove").click()
    expect(row.get_by_role("button", name="No", exact=True)).to_be_focused()
    row.get_by_role("button", name="Yes").click()
    expect(row).to_have_count(0)
    assert all(one["schedule"] != number for one in host.client.get("/v1/schedules")["schedules"])


def test_people_and_tokens_are_the_owners_view_and_a_session_is_ended_there(
    host: PageHost, page: Page, open_page: OpenPage
) -> None:
    host.client.post("/v1/people", {"name": "ada", "role": "member"})
    made = host.client.post("/v1/tokens", {"name": "wall", "person": "ada", "scope": "read"})
    host.client.post("/v1/tokens", {"name": "month", "days": 30})
    theirs = open_page(host.link("ada"))
    theirs.locator(".menu > summary").click()
    expect(theirs.get_by_role("link", name="Schedules")).to_be_visible()
    expect(theirs.get_by_role("link", name="People")).to_have_count(0)
    theirs.goto(f"{host.url}/people")
    expect(theirs.locator("main")).to_contain_text("Your role may not look at this")
    go(page, "People")
    expect(page.get_by_role("region", name="People")).to_contain_text("ada")
    token = page.get_by_role("region", name="Tokens").get_by_role("row", name="wall")
    expect(token.get_by_role("cell")).to_have_text(["wall", "ada", re.compile("^read "), SOME_TIME, "never", "no end"])
    ending = page.get_by_role("region", name="Tokens").get_by_role("row", name="month")
    expect(ending.get_by_role("cell")).to_have_text(
        ["month", "owner", re.compile("^all "), SOME_TIME, "never", SOME_TIME]
    )
    assert made["secret"] not in page.content()
    session = page.get_by_role("listitem").filter(has_text="ada by")
    session.get_by_role("button", name="End").click()
    session.get_by_role("button", name="Yes").click()
    expect(session).to_have_count(0)
    theirs.reload()
    expect(theirs.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("this browser")).to_have_count(1)


def measured(route: Route) -> None:
    """Send the values of a board that is paired; there was nothing for half an hour."""
    until = 1_790_000_000_000
    times = [until - HOUR_MS + minute * 60_000 for minute in (*range(20), *range(50, 60))]
    points = [{"at_ms": at, "min": n, "max": n + 2, "mean": n + 1, "count": 6} for n, at in enumerate(times)]
    last = {"key": "temperature", "unit": "°C", "value": 31.25, "at_ms": until}
    document: dict[str, Any] = {"device": "virtual-1", "since_ms": until - HOUR_MS, "until_ms": until}
    document |= {"bucket_ms": 60_000, "source": "minutes", "last": [last], "refused": []}
    document["series"] = [
        {"key": "temperature", "unit": "°C", "points": points},
        {"key": "free_heap", "unit": "B", "points": [points[0]]},
    ]
    route.fulfill(body=json.dumps(document), content_type="application/json")


class Rollout:
    """A host that rolls an update out, as the page meets it: the documents of rollout_routes.py."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        counts = {"waiting": 3, "offered": 1, "healthy": 5, "rolled_back": 1, "failed": 0}
        failure = {"device": "shed", "state": "rolled_back", "error": "no link after the update"}
        self.state: dict[str, Any] = {"rollout": 4, "version": "1.4.0", "channel": "stable", "undoes": None}
        self.state |= {"began_ms": 1_790_000_000_000, "began_by": "owner", "state": "running", "reason": "", "stage": 2}
        self.state |= {"stages": [1, 10], "soaking_since_ms": None, "crashes": 1, "count": 10, "counts": counts}
        self.state |= {"failures": [failure]}

    def answer(self, route: Route) -> None:
        path = route.request.url.partition("/v1/rollouts")[2]
        document: dict[str, Any] = {"rollouts": [self.state]}
        if route.request.method == "POST":
            self.acts.append(path)
            self.state["state"] = {"/4/pause": "paused", "/4/resume": "running", "/4/stop": "halted"}[path]
            document = self.state
        elif path:
            board = {"device": "shed", "from_version": "1.3.0", "offered_ms": 1, "ended_ms": 1_790_000_000_000}
            document = {
                **self.state,
                "boards": [{**board, "state": "rolled_back", "error": "no link after the update"}],
            }
        route.fulfill(body=json.dumps(document), content_type="application/json")


def test_a_rollout_shows_its_boards_is_paused_resumed_and_stopped(page: Page) -> None:
    go(page, "Rollouts")
    expect(page.locator("main")).to_contain_text("No update was rolled out yet")
    rollout = Rollout()
    page.route("**/v1/rollouts**", rollout.answer)
    go(page, "Home")
    go(page, "Rollouts")
    row = page.get_by_role("listitem", name="rollout 4")
    expect(row).to_contain_text("5 healthy")
    expect(row).to_contain_text("shed: rolled back, no link after the update")
    row.get_by_text("Its boards").click()
    expect(row.get_by_role("region", name="Boards of rollout 4")).to_contain_text("1.3.0")
    row.get_by_role("button", name="Pause").click()
    row.get_by_role("button", name="Resume").click()
    row.get_by_role("button", name="Stop for good").click()
    assert rollout.acts == ["/4/pause", "/4/resume"], "it asks again first"
    row.get_by_role("button", name="Yes").click()
    expect(row.locator("h2 .badge")).to_have_text("halted")
    assert rollout.acts[2:] == ["/4/stop"]
