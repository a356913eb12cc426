"""One turn as a chat sees it: typing, progress in a message that is edited, then the answer in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from microclaw.channels.telegram.api import TelegramError, Timing
from microclaw.channels.telegram.markup import LIMIT, split
from microclaw.channels.telegram.sender import Sender
from microclaw.events import Answer, Delta, Edge, Evidence, Step, ToolRun, TurnEvent
from microclaw.pin_track import draw_track
from microclaw.text import clean_text, format_duration

TRACK_CELLS: Final = 28  # a telephone shows about 34 letters of code in a row
SHOWN_STEPS: Final = 8
TYPING_S: Final = 4.5  # Telegram shows "typing" for 5 s
MAX_STREAMED_CHARS: Final = 2 * LIMIT  # the progress is one message: what a model streams beyond comes with the answer
YES_OR_NO: Final[Mapping[str, object]] = {
    "keyboard": [["Yes", "No"]], "one_time_keyboard": True, "resize_keyboard": True,
}  # fmt: skip
_MARKS: Final = {"running": "…", "done": "✓", "failed": "✗"}
_SIDE_NOTE: Final = "   "  # events.Step
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class LiveReply:
    """`follow` a turn to its answer, then `show` that in the place of its progress, or `withdraw` the progress."""

    sender: Sender
    chat_id: int
    timing: Timing
    _steps: list[str] = field(default_factory=list, init=False)
    _streamed: str = field(default="", init=False)
    _over: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _message_id: int | None = field(default=None, init=False)  # with the progress

    async def follow(self, events: AsyncIterator[TurnEvent]) -> Answer | None:
        """Show the progress; the answer, or None when none came."""
        answer = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._progress(), name=f"telegram: progress in {self.chat_id}")
            try:
                async for event in events:
                    if isinstance(event, Answer):
                        answer = event
                    else:
                        self._take(event)
            finally:
                self._over.set()
        return answer

    async def show(self, answer: Answer) -> None:
        """Raises TelegramError for a refusal that will not change."""
        pieces = split(answer_markdown(answer)) or ["(no words)"]
        if answer.waits_for_yes and self.chat_id > 0:  # in a group the word would not be addressed to the bot
            await self.withdraw()  # a keyboard comes with a new message only
            for piece in pieces:
                await self.sender.insist(self.sender.send, self.chat_id, piece, YES_OR_NO)
            return
        for piece in pieces:
            await self.sender.insist(self._put, piece)
            self._message_id = None  # the next piece is a message of its own

    async def withdraw(self) -> None:
        """Delete the progress."""
        if self._message_id is not None:
            with suppress(TelegramError):  # too old to be deleted: it stays
                await self.sender.insist(self.sender.delete, self.chat_id, self._message_id)

    def _take(self, event: TurnEvent) -> None:
        """Approvals come to the chat by themselves (telegram.approvals)."""
        match event:
            case Delta(text) if len(self._streamed) < MAX_STREAMED_CHARS:
                self._streamed += text
            case ToolRun(state="started"):
                self._streamed = ""  # what came before was a thought on the way, not the answer
            case Step(stage):
                if self._steps and self._steps[-1].startswith(f"{stage} …"):
                    self._steps.pop()
                self._steps = [*self._steps, _step_line(event)][-SHOWN_STEPS:]

    async def _progress(self) -> None:
        """While it runs. Everything here may fail: the answer comes in any case."""
        shown, typed_s, wait_s = "", 0.0, self.timing.first_s
        pause_s = self.timing.pause_s if self.chat_id > 0 else self.timing.group_pause_s  # groups have negative ids
        loop = asyncio.get_running_loop()
        while not await self._ends_within(wait_s):
            wait_s = pause_s
            pieces = split(self._streamed.strip() or "\n".join(self._steps))
            if pieces and pieces[0] != shown:
                try:
                    await self._put(pieces[0])
                    shown = pieces[0]
                except TelegramError as exc:
                    _log.debug("telegram: %s", exc.message)
                    if not exc.will_pass:
                        return  # the answer will say so
                    wait_s = max(pause_s, exc.retry_after_s)
            elif self._message_id is None and loop.time() - typed_s > TYPING_S:
                typed_s = loop.time()
                await self.sender.typing(self.chat_id)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _put(self, text: str) -> None:
        """Into the message with the progress; a new one where there is none, or the person deleted it."""
        if self._message_id is not None:
            try:
                await self.sender.edit(self.chat_id, self._message_id, text)
                return
            except TelegramError as exc:
                if exc.status != 400:
                    raise
        self._message_id = await self.sender.send(self.chat_id, text)


def answer_markdown(answer: Answer) -> str:
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        parts += _evidence(evidence, answer.text)
    if step := answer.next_step:
        parts.append(step if "`" in step else f"next: `{clean_text(step, one_line=True)}`")
    return "\n\n".join(part for part in parts if part)


def _step_line(step: Step) -> str:
    """One line: stage, how it stands, what happened; the stage first, so that a step that ended takes its own place."""
    what = clean_text(step.text.partition(_SIDE_NOTE)[0], one_line=True, limit=100)
    took = "" if step.took_ms is None or step.state == "running" else f" ({format_duration(step.took_ms)})"
    return f"{step.stage} {_MARKS[step.state]} {what}{took}"


def _evidence(evidence: Evidence, answer_text: str) -> Iterator[str]:
    """Its words, where the answer has them not, and the tracks of its pins as code."""
    if evidence.text.lower() not in answer_text.lower():
        kind = "" if evidence.text.lower().startswith(evidence.kind) else f"{evidence.kind}: "
        yield f"{kind}{evidence.text}"
    edges = sorted(evidence.edges, key=lambda edge: (edge.pin, edge.t_ms))
    if tracks := [_track(pin, tuple(own)) for pin, own in groupby(edges, key=lambda edge: edge.pin)]:
        yield "\n".join(("```", *tracks, "```"))


def _track(pin: int, edges: Sequence[Edge]) -> str:
    """The pin's level from a little before its first edge to a little after its last one."""
    first_ms, last_ms = edges[0].t_ms, edges[-1].t_ms
    margin_ms = max(1.0, (last_ms - first_ms) / TRACK_CELLS)
    span = {"start_ms": first_ms - margin_ms, "end_ms": last_ms + margin_ms}
    return f"pin {pin} {draw_track(edges, **span, level=1 - edges[0].level, cells=TRACK_CELLS)}"
