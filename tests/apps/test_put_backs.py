"""What else manages a board is seen and told; what a restart took is put back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from microclaw.apps.deploy import DeployRequest
from microclaw.apps.put_backs import MAX_PUT_BACKS, MAX_UNDONE, PUT_BACK_WINDOW_S

OTHER = "something else manages this board"


async def deploy(lab: Any, name: str, pin: int) -> None:
    lab.plays(name, pin)
    await lab.deployer.deploy(DeployRequest("paper", name, source=name), lab.steps.append)


async def check(lab: Any) -> Any:
    lab.monotonic_s += 5
    return await lab.reconciler.check(lab.device_id)


async def take_off_until_given_up(lab: Any, name: str) -> list[str]:
    """Somebody else takes the program off again and again; the problem that each check had."""
    problems = []
    for _ in range(MAX_UNDONE + 1):
        await check(lab)
        lab.transport.apps.pop(name, None)
        problems.append((await check(lab)).problem or "")
    return problems


async def test_an_app_that_is_taken_off_while_another_stays_is_given_up(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    await deploy(lab, "fade", 4)
    problems = await take_off_until_given_up(lab, "blink")
    assert problems[:-1] == ["", ""]
    assert f"{OTHER}: blink was taken off again 2 times within 5 min without a restart" in problems[-1]
    assert "microclaw device remove paper" in problems[-1]
    assert sorted(lab.transport.apps) == ["fade"]
    lab.monotonic_s += 10 * PUT_BACK_WINDOW_S
    assert (await check(lab)).put_back == ()
    assert [name for name, _ in lab.alarms] == ["paper"]


async def test_an_uptime_tells_that_the_board_did_not_restart(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    lab.transport.up_ms = 86_400_000.0
    assert OTHER in (await take_off_until_given_up(lab, "blink"))[-1]


async def test_what_a_restart_took_is_put_back_as_often_as_before(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    await deploy(lab, "fade", 4)
    for _ in range(MAX_PUT_BACKS):
        await check(lab)
        lab.transport.apps.clear()
        assert (await check(lab)).put_back == ("blink", "fade")
    assert lab.alarms == []


async def test_an_uptime_that_began_again_is_a_restart(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    for _ in range(MAX_PUT_BACKS):
        await check(lab)
        lab.transport.apps.clear()
        lab.transport.up_ms = 2_000.0
        assert (await check(lab)).put_back == ("blink",)


async def test_the_program_of_another_host_is_no_sign_that_the_board_stayed_up(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    for _ in range(MAX_PUT_BACKS):
        lab.foreign("theirs")
        await check(lab)
        lab.transport.apps.clear()
        lab.foreign("theirs")  # its host was faster
        assert (await check(lab)).put_back == ("blink",)
    lab.transport.apps.pop("blink")
    kept = await check(lab)
    assert f"{OTHER}, or it restarts: blink was lost 5 times in 10 minutes, and theirs" in (kept.problem or "")
    lab.monotonic_s += 10 * PUT_BACK_WINDOW_S
    assert (await check(lab)).put_back == ()


async def test_a_new_deployment_is_put_back_again(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    await deploy(lab, "fade", 4)
    await take_off_until_given_up(lab, "blink")
    lab.clock_ms += 1
    await deploy(lab, "blink", 2)
    await check(lab)
    lab.transport.apps.pop("blink")
    assert (await check(lab)).put_back == ("blink",)


async def test_another_program_of_the_same_name_is_told_and_left_alone(lab: Any) -> None:
    await deploy(lab, "blink", 2)
    await check(lab)
    theirs = lab.transport.apps["blink"] = replace(lab.transport.apps["blink"], heap_bytes=4096)
    kept = await check(lab)
    assert f"{OTHER}: another program is there as blink (4,096 bytes of heap" in (kept.problem or "")
    await check(lab)
    assert lab.transport.apps["blink"] is theirs
    assert len(lab.alarms) == 1


async def test_a_program_that_comes_back_after_it_was_taken_off_is_told(lab: Any) -> None:
    lab.foreign("theirs")
    for _ in range(MAX_UNDONE):
        assert (await check(lab)).problem is None
        await lab.deployer.remove("paper", "theirs", lab.steps.append)
        lab.foreign("theirs")
    await lab.reconciler.check_due()
    [kept] = lab.reconciler.status()
    assert f"{OTHER}: theirs was taken off 2 times here within 5 min and came back" in (kept.problem or "")
