"""A turn's events come in order; a full stream drops old steps and never the answer."""

from __future__ import annotations

from microclaw.agent.running_turn import TurnStream
from microclaw.events import Answer, Step


async def test_events_come_in_order_and_end_with_the_answer() -> None:
    stream = TurnStream()
    for event in (Step("plan", "1"), Step("plan", "2"), Answer("end"), Step("plan", "late")):
        stream.put(event)
    assert [e async for e in stream.events()] == [Step("plan", "1"), Step("plan", "2"), Answer("end")]


async def test_a_full_stream_drops_the_oldest_steps() -> None:
    stream = TurnStream(max_waiting=3)
    for n in range(10):
        stream.put(Step("plan", str(n)))
    stream.put(Answer("end"))
    assert [e.text async for e in stream.events() if isinstance(e, Step | Answer)] == ["8", "9", "end"]
