"""A host is cut off in the middle of its work: another takes it up, once, and it does nothing more for it itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.hosts import WholeHost, paired
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.events import Answer
from microclaw.operations.connection import HostError
from microclaw.wire.link.messages import Call, Result

HELD = ("gpio.set", "device.restart")


async def test_turns_and_tasks_go_on_once_at_another_host_and_the_one_that_was_cut_off_does_nothing_for_them(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice
) -> None:
    asked, answers = Counter[str](), asyncio.Event()
    fan = await paired(east, "fan")

    def held(echo: Callable[[Call], Result | None]) -> Callable[[Call], Result | None]:
        def answer(call: Call) -> Result | None:
            asked[call.method] += 1
            return None if call.method in HELD and not answers.is_set() else echo(call)

        return answer

    lamp.answer, fan.answer = held(lamp.answer), held(fan.answer)

    def say(host: WholeHost, text: str, chat_id: str) -> asyncio.Task[Answer]:
        return asyncio.create_task(asyncio.to_thread(host.client.say, text, chat_id=chat_id))

    async def undelivered(chat_id: str, count: int) -> list[dict[str, Any]]:
        found = await east.until(f"/v1/chat/{chat_id}/undelivered", lambda found: len(found["messages"]) >= count)
        return [one["answer"] for one in found["messages"]]

    async with lamp.connected(), fan.connected():
        await until(lambda: len(west.host.devices.list()) == 2 and west.online("lamp") and west.online("fan"))
        begun = [say(west, "turn on pin 4 of lamp", "c1"), say(west, "restart fan", "c2")]
        (asking,) = (await east.until("/v1/approvals", lambda found: found["approvals"]))["approvals"]
        await east.ask(f"/v1/approvals/{asking['approval_id']}", {"approved": True, "wait_s": 0})
        place = f"/v1/tasks/{(await west.ask('/v1/tasks', {'code': 'import time; time.sleep(600)'}))['task']}"
        await west.until(place, lambda found: found["state"] == "running")
        with pytest.raises(HostError) as there:
            await east.ask(place)
        assert there.value.code == "overloaded", "it runs at the other host"
        await until(lambda: all(asked[method] for method in HELD))
        begun.append(say(west, "what time is it?", "c1"))
        later = say(east, "what time is it?", "c1")
        assert (await say(east, "what time is it?", "c3")).error_code is None, "another chat does not wait"
        assert not later.done()
        west.wire.cut()
        await east.sees()
        answers.set()
        assert (await later).error_code is None
        lit, told = await undelivered("c1", 2)
        assert (lit["actions"][0]["outcome"], lit["error"], told["error"]) == ("done", None, None), "it was done again"
        (restarted,) = await undelivered("c2", 1)
        assert restarted["error"] == "outcome_unknown", "it may have been done"
        assert (await east.until(place, lambda found: found["state"] == "failed"))["ending"] == "interrupted"
        await west.wire.mend()
        await west.sees("east")
        codes = [one.error_code for one in await asyncio.gather(*begun)]
        assert codes[2] == "taken_over"
        assert set(codes) <= {"taken_over", "store_unreachable"}
        assert {method: asked[method] for method in HELD} == {"gpio.set": 2, "device.restart": 1}
        assert [len(await undelivered(*chat)) for chat in (("c1", 2), ("c2", 1))] == [2, 1], "no second answers"
