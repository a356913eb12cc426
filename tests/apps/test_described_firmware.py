"""The gate on the way to a device: what a person said of its firmware holds for every installation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from microclaw.boards.firmware import parse_firmware
from microclaw.errors import DeployRejected
from microclaw.events import AskedProgram


async def describe(lab: Any, *words: str) -> None:
    await lab.registry.describe_firmware("paper", parse_firmware(words))


async def test_heap_and_timers_that_nobody_asked_for_shrink_to_the_limit(lab: Any) -> None:
    await describe(lab, "heap=4k", "timers=5")
    await lab.deploy()
    installed = lab.transport.apps["blink"]
    assert (installed.heap_bytes, installed.timers) == (4096, 5)


async def test_heap_that_was_asked_for_is_refused_over_the_limit_before_anything_is_sent(lab: Any) -> None:
    await describe(lab, "heap=4k")
    with pytest.raises(DeployRejected):
        await lab.deploy(heap_bytes=6000)
    assert "apps.install" not in lab.transport.calls


async def test_program_that_was_lost_is_not_put_back_where_it_no_longer_fits(lab: Any) -> None:
    await lab.deploy()
    lab.transport.apps.clear()
    lab.transport.calls.clear()
    await describe(lab, "nodes=-gpio")  # the paper image is no module that could be read: it is not taken on trust
    kept = await lab.reconciler.check(lab.device_id)
    assert kept.put_back == ()
    assert kept.problem
    assert "apps.install" not in lab.transport.calls


async def test_firmware_that_is_described_anew_during_a_trial_is_checked_again(lab: Any) -> None:
    async def approve(_text: str, _detail: Sequence[str], program: AskedProgram | None = None) -> None:
        await describe(lab, "nodes=-i2c")

    with pytest.raises(DeployRejected):
        await lab.deploy(approve=approve)
    assert lab.transport.apps == {}
