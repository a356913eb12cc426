"""One turn as a chat sees it: typing, progress in a message that is edited, then the answer in its place.

Pin tracks are shown as code, what to do next below.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from microclaw.channels.telegram.api import TelegramError, Timing
from microclaw.channels.telegram.sender import LIMIT, Buttons, Sender, split
from microclaw.events import Answer, Delta, Edge, Evidence, Step, ToolRun, TurnEvent
from microclaw.pin_track import draw_track, rhythms
from microclaw.text import clean_text, format_duration

_log = logging.getLogger(__name__)

SAY: Final = "say:"
TRACK_CELLS: Final = 28  # a telephone shows about 34 letters of code in a row
SHOWN_STEPS: Final = 8
_MARKS: Final = {"running": "…", "done": "✓", "failed": "✗"}
_SIDE_NOTE: Final = "   "  # events.Step
MAX_STREAMED_CHARS: Final = 2 * LIMIT  # the progress is one message: what a model streams beyond comes with the answer


class LiveReply:
    """`follow` a turn to its answer, then `show` that in the place of its progress, or `withdraw` the progress."""

    def __init__(self, sender: Sender, chat_id: int, timing: Timing) -> None:
        self._sender = sender
        self._chat_id = chat_id
        self._timing = timing
        self._pause_s = timing.pause_s if chat_id > 0 else timing.group_pause_s  # groups have negative ids
        self._steps: list[str] = []
        self._streamed = ""
        self._news = asyncio.Event()  # there is something to show, or the turn is over
        self._over = asyncio.Event()
        self._message_id: int | None = None  # with the progress
        self._progress_text = ""

    async def follow(self, events: AsyncIterator[TurnEvent]) -> Answer | None:
        """Show the progress; the answer, or None when none came."""
        answer = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._progress(), name=f"telegram: progress in {self._chat_id}")
            try:
                async for event in events:
                    if isinstance(event, Answer):
                        answer = event
                    else:
                        self._take(event)
            finally:
                self._over.set()
                self._news.set()
        return answer

    async def show(self, answer: Answer) -> None:
        """Raises TelegramError for a refusal that will not change."""
        pieces = split(answer_markdown(answer)) or ["(no words)"]
        for number, piece in enumerate(pieces, 1):
            await self._sender.insist(self._put, piece, _buttons(answer) if number == len(pieces) else ())
            self._message_id = None  # the next piece is a message of its own

    async def withdraw(self) -> None:
        """Delete the progress."""
        if self._message_id is not None:
            with suppress(TelegramError):  # too old to be deleted: it stays
                await self._sender.insist(self._sender.delete, self._chat_id, self._message_id)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case Delta(text) if len(self._streamed) < MAX_STREAMED_CHARS:
                self._streamed += text
            case ToolRun(state="started"):
                self._streamed = ""  # what came before was a thought on the way, not the answer
            case Step(stage):
                if self._steps and self._steps[-1].startswith(f"{stage} …"):
                    self._steps.pop()
                self._steps = [*self._steps, _step_line(event)][-SHOWN_STEPS:]
            case _:
                return  # approvals come to the chat by themselves (telegram.approvals)
        self._news.set()

    async def _progress(self) -> None:
        """While it runs. Everything here may fail: the answer comes in any case."""
        if await self._ends_within(0.0):
            return
        await self._sender.typing(self._chat_id)
        await self._ends_within(self._timing.first_s)
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.typing_s):
                    await self._news.wait()
            if self._news.is_set() and not self._over.is_set():
                self._news.clear()
                await self._show_progress()
                await self._ends_within(self._pause_s)
            elif self._message_id is None and not self._over.is_set():
                await self._sender.typing(self._chat_id)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _show_progress(self) -> None:
        pieces = split(self._streamed.strip() or "\n".join(self._steps))
        if not pieces or pieces[0] == self._progress_text:
            return
        try:
            await self._put(pieces[0])
            self._progress_text = pieces[0]
        except TelegramError as exc:
            _log.debug("telegram: %s", exc.message)
            if exc.will_pass:
                await self._ends_within(exc.retry_after_s or self._timing.backoff_s)
            else:
                await self._over.wait()  # the answer will say so

    async def _put(self, text: str, buttons: Buttons = ()) -> None:
        """Into the message with the progress; a new one where there is none, or the person deleted it."""
        if self._message_id is not None:
            try:
                await self._sender.edit(self._chat_id, self._message_id, text, buttons)
            except TelegramError as exc:
                if exc.status != 400:
                    raise
            else:
                return
        self._message_id = await self._sender.send(self._chat_id, text, buttons)


def answer_markdown(answer: Answer) -> str:
    parts = [answer.text.strip()]
    for evidence in answer.evidence:
        parts += _evidence(evidence, answer.text)
    if step := answer.next_step:
        parts.append(step if "`" in step else f"next: `{clean_text(step, one_line=True)}`")
    return "\n\n".join(part for part in parts if part)


def _buttons(answer: Answer) -> tuple[tuple[str, str], ...]:
    """Yes and No buttons for an answer that waits for one of them (telegram.channel handles them)."""
    if not answer.waits_for_yes or answer.outbound_id is None:
        return ()
    return tuple((word, f"{SAY}{word.lower()}:{answer.outbound_id}") for word in ("Yes", "No"))


def _step_line(step: Step) -> str:
    """One line: stage, how it stands, what happened; the stage first, so that a step that ended takes its own place."""
    what = clean_text(step.text.partition(_SIDE_NOTE)[0], one_line=True, limit=100)
    took = "" if step.took_ms is None or step.state == "running" else f" ({format_duration(step.took_ms)})"
    return f"{step.stage} {_MARKS[step.state]} {what}{took}"


def _evidence(evidence: Evidence, answer_text: str) -> list[str]:
    tracks = [
        _track(pin, tuple(edges))
        for pin, edges in groupby(sorted(evidence.edges, key=lambda e: (e.pin, e.t_ms)), key=lambda e: e.pin)
    ]
    kind = "" if evidence.text.lower().startswith(evidence.kind) else f"{evidence.kind}: "
    words = [] if evidence.text.lower() in answer_text.lower() else [f"{kind}{evidence.text}"]
    return [*words, *(["```\n" + "\n".join(tracks) + "\n```"] if tracks else [])]


def _track(pin: int, edges: Sequence[Edge]) -> str:
    """The pin's level from its first edge to a gap after its last one, and how regular it is."""
    (found,) = rhythms(edges)
    if found.count == 1:
        return f"pin {pin}: one edge, to {edges[0].level}"
    gap_ms = max(1.0, found.gap_s * 1000)
    start_ms, end_ms = edges[0].t_ms - gap_ms / 2, edges[-1].t_ms + gap_ms / 2
    drawn = draw_track(edges, start_ms=start_ms, end_ms=end_ms, level=1 - edges[0].level, cells=TRACK_CELLS)
    return f"pin {pin} {drawn}\n{found.count} edges, one every {format_duration(gap_ms)}"
