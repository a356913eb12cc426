"""The views of what the host keeps: schedules, people and tokens, telemetry, memory, usage, rollouts."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, Route, expect
from tests.page.conftest import go

HOUR_MS = 3_600_000


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
