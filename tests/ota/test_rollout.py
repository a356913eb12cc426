"""One rollout as a state machine: stages, gates, pace; a machine of random news that checks what must always hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from microclaw.errors import ConfigError
from microclaw.ota.rollout import ENDED, Rollout
from microclaw.ota.rollout_plan import RolloutPlan, Window, read_stages, read_window
from microclaw.store.rollouts import Progress, RolloutDevice

MINUTE = 60_000


def rollout(count: int = 20, stages: str = "1,10%,50%,100%", **plan: Any) -> Rollout:
    devices = [RolloutDevice(f"d{n}", "1.0.0") for n in range(count)]
    return Rollout(RolloutPlan(read_stages(stages, count), **plan), devices, Progress("running", "", 0, 0))


def offer(one: Rollout, now_ms: int = 0, **more: Any) -> list[str]:
    due = one.due(now_ms, lambda _: True, **more)
    for device_id in due:
        one.offer(device_id, now_ms)
    return due


def heal(one: Rollout, devices: list[str], now_ms: int = 0) -> None:
    for device_id in devices:
        assert one.note(device_id, "healthy", "", now_ms) is not None


def test_a_stage_begins_when_the_one_before_is_healthy_and_has_soaked() -> None:
    one = rollout(soak_s=600)
    heal(one, offer(one))
    assert one.decide(1000) == Progress("running", "", 0, 0, soaking_since_ms=1000)
    assert offer(one, 2000) == []
    assert one.decide(600_999) is None
    assert one.decide(601_000) == Progress("running", "", 1, 601_000)
    assert offer(one, 601_000) == ["d1"]


def test_all_stages_to_the_end() -> None:
    one = rollout(soak_s=0)
    sizes = []
    for now_ms in range(0, 20 * MINUTE, MINUTE):
        due = offer(one, now_ms)
        sizes.append(len(due))
        heal(one, due, now_ms)
        one.decide(now_ms)
    assert [size for size in sizes if size] == [1, 1, 8, 10]
    assert (one.progress.state, one.progress.reason) == ("done", "20 healthy")


@pytest.mark.parametrize("state", ["rolled_back", "refused", "failed"])
def test_one_bad_canary_stops_it(state: Any) -> None:
    one = rollout()
    one.note(offer(one)[0], state, "unhealthy: watchdog", 5)
    after = one.decide(6)
    assert after is not None
    assert after.state == "halted"
    assert offer(one, 7) == []


def test_a_share_of_failures_is_borne() -> None:
    one = rollout(40, "20,100%", healthy_share=0.9)
    due = offer(one)
    for device_id in due[:2]:
        one.note(device_id, "failed", "wrong_hash", 1)
    assert one.decide(1) is None
    one.note(due[2], "failed", "wrong_hash", 1)
    assert one.decide(1) is not None
    assert one.progress.state == "halted"


def test_a_device_without_an_end_counts_as_failed_and_may_still_become_healthy() -> None:
    one = rollout(device_s=1800)
    (canary,) = offer(one)
    assert one.give_up_late(1_799_999) == []
    assert [row.state for row in one.give_up_late(1_800_000)] == ["late"]
    assert one.note(canary, "healthy", "", 1_800_001) is not None
    assert one.decide(1_800_002) is not None
    assert one.progress.state == "running"


def test_new_crash_reports_of_updated_boards_stop_it() -> None:
    one = rollout(max_crashes=1)
    (canary,) = offer(one, 100)
    assert one.offered == {canary: 100}
    heal(one, [canary], 150)
    assert one.count_crashes(1)
    assert not one.count_crashes(1)
    assert one.decide(200) is not None
    assert one.progress.state == "running"
    assert one.count_crashes(2)
    stopped = one.decide(200)
    assert stopped is not None
    assert stopped.state == "halted"
    assert not one.count_crashes(3)


def test_no_canary_no_next_stage() -> None:
    one = rollout(absent_s=60)
    assert one.due(0, lambda _: False) == []
    assert one.decide(10 * MINUTE) is None
    heal(one, offer(one, 11 * MINUTE))
    one.decide(11 * MINUTE)
    assert one.progress.soaking_since_ms == 11 * MINUTE


def test_boards_that_are_off_do_not_hold_up_a_stage_for_ever_and_get_it_later() -> None:
    one = rollout(4, "1,50%,100%", soak_s=0, absent_s=60)
    heal(one, offer(one))
    one.decide(0)
    one.decide(0)
    assert one.progress.stage == 1
    assert one.due(0, lambda device_id: device_id != "d1") == []
    one.decide(61_000)
    one.decide(61_000)
    assert one.progress.stage == 2
    present = one.due(61_000, lambda device_id: device_id != "d1")
    assert present == ["d2", "d3"]
    for device_id in present:
        one.offer(device_id, 61_000)
    heal(one, present)
    assert one.decide(200_000) is None
    assert one.progress.state == "running"
    heal(one, offer(one, 300_000))
    one.decide(300_000)
    assert (one.progress.state, one.progress.reason) == ("done", "4 healthy")


def test_rate_devices_at_once_and_window() -> None:
    one = rollout(100, "100%", per_minute=10, under_way=15)
    assert offer(one, 0, in_window=False) == []
    first = offer(one, 0)
    assert len(first) == 10
    assert offer(one, 1000) == []
    assert len(offer(one, MINUTE)) == 5  # 15 are under way
    heal(one, first, MINUTE)
    assert len(offer(one, MINUTE)) == 5  # ten in a minute
    assert len(offer(one, 2 * MINUTE)) == 5


def test_a_removed_board_is_no_failure() -> None:
    one = rollout(2, "1,100%", soak_s=0)
    one.note("d0", "removed", "", 0)
    one.decide(0)
    one.decide(0)
    heal(one, offer(one))
    one.decide(0)
    assert one.progress.state == "done"


def test_news_of_others_is_ignored() -> None:
    one = rollout()
    assert one.note("stranger", "healthy", "", 0) is None
    assert one.note("d0", "healthy", "", 0) is None  # nobody offered it anything
    (canary,) = offer(one)
    heal(one, [canary])
    assert one.note(canary, "failed", "again", 1) is None


@pytest.mark.parametrize(
    ("text", "count", "stages"),
    [
        ("1,10%,50%,100%", 300, (1, 30, 150, 300)),
        ("1,10%,50%,100%", 5, (1, 2, 5)),
        ("1,10%,50%,100%", 1, (1,)),
        ("5", 300, (5, 300)),
        ("20, 50", 30, (20, 30)),
    ],
)
def test_stages(text: str, count: int, stages: tuple[int, ...]) -> None:
    assert read_stages(text, count) == stages


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "x", "1,,2", "-1", "50%,10%", "1.5"])
def test_wrong_stages_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_stages(text, 300)


@pytest.mark.parametrize("count", [0, 10_001])
def test_too_many_or_no_devices_are_refused(count: int) -> None:
    with pytest.raises(ConfigError):
        read_stages("1", count)


def test_windows() -> None:
    night = read_window("22:30-05:00")
    assert night == Window(22 * 60 + 30, 5 * 60)
    assert [night.is_open(minute) for minute in (22 * 60 + 29, 22 * 60 + 30, 0, 299, 300)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert str(night) == "22:30-05:00"
    for wrong in ("24:00-01:00", "1:00-2:00", "02:00-02:00", "x"):
        with pytest.raises(ConfigError):
            read_window(wrong)


class AnyNews(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is offered twice, and no stage is passed over a failed gate."""

    def __init__(self) -> None:
        super().__init__()
        self.one = rollout(30, soak_s=60, device_s=300, absent_s=600, per_minute=7, under_way=5)
        self.now_ms = 0
        self.offers: list[str] = []
        self.online = {f"d{n}" for n in range(30)}

    @rule(ms=st.integers(0, 400_000))
    def passes(self, ms: int) -> None:
        self.now_ms += ms
        self.one.give_up_late(self.now_ms)
        self.one.decide(self.now_ms)

    @rule()
    def offers_go_out(self) -> None:
        due = self.one.due(self.now_ms, self.online.__contains__)
        for device_id in due:
            assert device_id in self.online
            self.one.offer(device_id, self.now_ms)
        self.offers += due

    @rule(n=st.integers(0, 30), state=st.sampled_from([*ENDED, "healthy", "healthy", "healthy", "healthy"]))
    def ends(self, n: int, state: Any) -> None:
        self.one.note(f"d{n}", state, "why", self.now_ms)

    @rule(n=st.integers(0, 29))
    def goes_off_or_on(self, n: int) -> None:
        self.online ^= {f"d{n}"}

    @rule()
    def crashes(self) -> None:
        self.one.count_crashes(self.one.progress.crashes + 1)

    @invariant()
    def nothing_is_offered_twice(self) -> None:
        assert len(self.offers) == len(set(self.offers))

    @invariant()
    def no_more_than_the_stage_has(self) -> None:
        assert len(self.offers) <= self.one.plan.stages[self.one.progress.stage]
        assert len(self.one.under_way) <= 5

    @invariant()
    def a_later_stage_had_somebody_healthy(self) -> None:
        if self.one.progress.stage > 0:
            assert self.one.count("healthy") + self.one.count("removed") > 0

    @invariant()
    def states_are_counted_right(self) -> None:
        states = [device.state for device in self.one.devices.values()]
        assert all(self.one.count(state) == states.count(state) for state in set(states))


TestAnyNews = AnyNews.TestCase
TestAnyNews.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
