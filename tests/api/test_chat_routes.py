"""/v1/chat on a running host: JSON lines that end with the answer, limits, what is left of a chat."""

from __future__ import annotations

from microclaw.events import Answer
from microclaw.operations.client import Client


def chat(client: Client, text: str, chat_id: str = "c1") -> list[object]:
    return list(client.stream("/v1/chat", {"text": text, "chat_id": chat_id}))


def test_an_answer_that_was_read_is_not_left_over(client: Client) -> None:
    chat(client, "what is running", "c2")
    chat(client, "what is running", "c2")  # the note of the first one's delivery is written by then
    left = client.get("/v1/chat/c2/undelivered")["messages"]
    assert len(left) <= 1, "only the newest may still be being noted"


def test_another_chats_answers_cannot_be_marked_as_read(client: Client) -> None:
    last = chat(client, "what is running", "c3")[-1]
    assert isinstance(last, Answer)
    done = client.post("/v1/chat/c4/delivered", {"outbound_ids": [last.outbound_id, 10_000]})
    assert done == {"delivered": []}
