"""One rollout as a state machine: stages, gates, pace; a machine of random news that checks what must always hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from microclaw.devices.ota.rollout import ENDED, Rollout, RolloutPlan, read_stages
from microclaw.errors import ConfigError
from microclaw.host.store.rollouts import RolloutDevice, RolloutRow

MINUTE = 60_000


def rollout(count: int = 20, stages: str = "1,10%,50%,100%", **fields: Any) -> Rollout:
    plan = msgspec.json.encode(RolloutPlan(read_stages(stages, count), **fields)).decode()
    devices = [RolloutDevice(f"d{n}", "1.0.0") for n in range(count)]
    return Rollout(RolloutRow(1, "1.1.0", "stable", plan, "owner", None, 0, 0), devices)


def step(one: Rollout, now_ms: int = 0, *, off: Collection[str] = ()) -> list[str]:
    """The devices that get the offer now."""
    changed = one.advance(now_ms, lambda device_id: device_id not in off)
    return [device.device_id for device in changed if device.state == "offered"]


def heal(one: Rollout, devices: list[str], now_ms: int = 0) -> None:
    for device_id in devices:
        assert one.note(device_id, "healthy", "", now_ms) is not None


def test_a_stage_begins_when_the_one_before_is_healthy_and_has_soaked() -> None:
    one = rollout(soak_s=600)
    sizes = []
    heal(one, step(one))
    assert step(one, 1000) == []
    assert one.row == msgspec.structs.replace(one.kept, soaking_since_ms=1000)
    assert step(one, 600_999) == []
    assert step(one, 601_000) == ["d1"]
    assert one.row == msgspec.structs.replace(one.kept, stage=1, stage_ms=601_000)
    heal(one, ["d1"], 601_000)
    for now_ms in range(601_000, 200 * MINUTE, MINUTE):
        due = step(one, now_ms)
        sizes.append(len(due))
        heal(one, due, now_ms)
    assert [size for size in sizes if size] == [8, 10]
    assert (one.row.state, one.row.reason) == ("done", "")


@pytest.mark.parametrize(
    ("count", "stages", "share", "borne"), [(20, "1,100%", 0.95, 0), (40, "20,100%", 0.9, 2), (20, "10,100%", 0.5, 5)]
)
@pytest.mark.parametrize("state", ["rolled_back", "refused", "failed"])
def test_it_stops_at_the_first_failure_that_is_not_borne(
    count: int, stages: str, share: float, borne: int, state: Any
) -> None:
    one = rollout(count, stages, healthy_share=share)
    due = step(one)
    for number, device_id in enumerate(due[: borne + 1]):
        one.note(device_id, state, "unhealthy: watchdog", 5)
        step(one, 6)
        assert (one.row.state == "halted") == (number == borne)
    assert step(one, 7) == []


def test_a_device_without_an_end_counts_as_failed_and_may_still_become_healthy() -> None:
    one = rollout(device_s=1800, healthy_share=0)
    (canary,) = step(one)
    step(one, 1_799_999)
    assert one.devices[canary].state == "offered"
    step(one, 1_800_000)
    assert one.devices[canary].state == "late"
    assert one.note(canary, "healthy", "", 1_800_001) is not None
    step(one, 1_800_002)
    assert one.row.state == "running"


def test_boards_that_are_off_do_not_hold_up_a_stage_for_ever_and_get_it_later_but_a_canary_does() -> None:
    one = rollout(4, "1,50%,100%", soak_s=0, absent_s=60)
    assert step(one, 10 * MINUTE, off=one.devices) == []
    start = 11 * MINUTE
    heal(one, step(one, start))
    for passed_ms in (0, 0, 59_999):
        assert step(one, start + passed_ms, off=("d1",)) == []
    assert one.row.stage == 1
    step(one, start + 61_000, off=("d1",))
    present = step(one, start + 61_000, off=("d1",))
    assert present == ["d2", "d3"]
    heal(one, present)
    assert step(one, start + 200_000, off=("d1",)) == []
    assert one.row.state == "running"
    heal(one, step(one, start + 300_000))
    step(one, start + 300_000)
    assert (one.row.state, one.row.reason) == ("done", "")


@pytest.mark.parametrize(
    ("text", "count", "stages"),
    [
        ("1,10%,50%,100%", 300, (1, 30, 150, 300)), ("1,10%,50%,100%", 5, (1, 2, 5)), ("1,10%,50%,100%", 1, (1,)),
        ("5", 300, (5, 300)), ("20, 50", 30, (20, 30)),
        *((wrong, 300, None) for wrong in ("", "0", "0%", "101%", "x", "1,,2", "-1", "50%,10%", "1.5")),
        ("1", 0, None), ("1", 10_001, None),
    ],
)  # fmt: skip
def test_stages_grow_up_to_all(text: str, count: int, stages: tuple[int, ...] | None) -> None:
    if stages is not None:
        assert read_stages(text, count) == stages
        return
    with pytest.raises(ConfigError):
        read_stages(text, count)


class AnyNews(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is offered twice, and no stage is passed over a failed gate."""

    def __init__(self) -> None:
        super().__init__()
        self.one = rollout(30, soak_s=60, device_s=300, absent_s=600, under_way=5)
        self.now_ms = 0
        self.offers: list[str] = []
        self.off: set[str] = set()

    @rule(ms=st.integers(0, 400_000))
    def passes(self, ms: int) -> None:
        self.now_ms += ms
        due = step(self.one, self.now_ms, off=self.off)
        assert self.off.isdisjoint(due)
        self.offers += due

    @rule(n=st.integers(0, 30), state=st.sampled_from([*ENDED, "healthy", "healthy", "healthy", "healthy"]))
    def ends(self, n: int, state: Any) -> None:
        self.one.note(f"d{n}", state, "why", self.now_ms)

    @rule(n=st.integers(0, 29))
    def goes_off_or_on(self, n: int) -> None:
        self.off ^= {f"d{n}"}

    @rule()
    def crashes(self) -> None:
        self.one.count_crashes(self.one.row.crashes + 1)

    @invariant()
    def nothing_is_offered_twice(self) -> None:
        assert len(self.offers) == len(set(self.offers))

    @invariant()
    def no_more_than_the_stage_has(self) -> None:
        assert len(self.offers) <= self.one.plan.stages[self.one.row.stage]
        assert len(self.one.under_way) <= 5

    @invariant()
    def a_later_stage_had_somebody_healthy(self) -> None:
        if self.one.row.stage > 0:
            assert self.one.count("healthy", "removed") > 0


TestAnyNews = AnyNews.TestCase
TestAnyNews.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
