"""Chats with the agent: a message in, the turn's events and its answer out."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import segment
from microclaw.errors import ProtocolError
from microclaw.events import Answer
from microclaw.wire.host_api import JsonObject, StreamEvent


class Chat(Group):
    """`client.chat`. `chat_id` names a conversation of your own: what was said in it is known there."""

    def ask(
        self,
        text: str,
        *,
        chat_id: str = "client",
        device: str | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """Say something and return the answer, with what was done for it. The turn goes on when this gives up."""
        body = given(text=text, chat_id=chat_id, device=device)
        end = self._host.run("/v1/chat", body, watch=watch, within_s=within_s)
        if not isinstance(end, Answer):
            raise ProtocolError("the host answered where an answer of the agent was expected")
        return end

    def stream(
        self, text: str, *, chat_id: str = "client", device: str | None = None, within_s: float | None = None
    ) -> Generator[StreamEvent, None, None]:
        """The turn's events as they come: Step, Delta, ToolRun, questions; the last one is an Answer or a Failure.

        It answers no question itself. `close()` ends the connection, and the turn goes on.
        """
        body = given(text=text, chat_id=chat_id, device=device)
        return self._host.stream("/v1/chat", body, within_s=within_s)

    def cancel(self, chat_id: str = "client") -> bool:
        """End the running turn at the next safe point; False where none runs."""
        return bool(self._host.post(f"/v1/chat/{segment(chat_id)}/cancel").get("cancelled"))

    def undelivered(self, chat_id: str = "client") -> Rows[JsonObject]:
        """Answers and notes that nobody has read yet: `kind`, and `answer` with its `outbound_id`."""
        return rows(self._host.get(f"/v1/chat/{segment(chat_id)}/undelivered"), "messages")

    def mark_delivered(self, outbound_ids: Sequence[int], chat_id: str = "client") -> Rows[int]:
        """These were read."""
        path = f"/v1/chat/{segment(chat_id)}/delivered"
        return rows(self._host.post(path, {"outbound_ids": list(outbound_ids)}), "delivered")
