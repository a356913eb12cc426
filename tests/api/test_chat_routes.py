"""/v1/chat on a running host: JSON lines that end with the answer, limits, what is left of a chat."""

from __future__ import annotations

import pytest

from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.events import Answer, Delta, Step


def chat(host: Client, text: str, chat_id: str = "c1") -> list[object]:
    return list(host.stream("/v1/chat", {"text": text, "chat_id": chat_id}))


def test_a_turn_is_told_line_by_line_and_its_answer_is_the_last(host: Client) -> None:
    events = chat(host, "what is running")
    assert any(isinstance(event, Step | Delta) for event in events[:-1])
    last = events[-1]
    assert isinstance(last, Answer)
    assert last.outbound_id is not None
    assert last.error_code is None


def test_an_answer_that_was_read_is_not_left_over(host: Client) -> None:
    chat(host, "what is running", "c2")
    chat(host, "what is running", "c2")  # the note of the first one's delivery is written by then
    left = host.get("/v1/chat/c2/undelivered")["messages"]
    assert len(left) <= 1, "only the newest may still be being noted"


def test_another_chats_answers_cannot_be_marked_as_read(host: Client) -> None:
    last = chat(host, "what is running", "c3")[-1]
    assert isinstance(last, Answer)
    done = host.post("/v1/chat/c4/delivered", {"outbound_ids": [last.outbound_id, 10_000]})
    assert done == {"delivered": []}


@pytest.mark.parametrize(("size", "limit"), [(16_385, "16,384"), (10_000_000, "8,388,608")])
def test_a_message_over_its_limit_is_refused_with_it(host: Client, size: int, limit: str) -> None:
    with pytest.raises(HostError) as refused:
        chat(host, "x" * size)
    assert limit in refused.value.message
    assert host.get("/v1/chat/c1/undelivered")["messages"] == []


def test_an_empty_message_is_refused_with_what_to_try(host: Client) -> None:
    with pytest.raises(HostError) as refused:
        chat(host, " \n")
    assert (refused.value.failure.code, refused.value.next_step) == ("empty_message", "try: what can you do")


def test_cancelling_nothing_says_so(host: Client) -> None:
    assert host.post("/v1/chat/quiet/cancel") == {"cancelled": 0}
