"""Every so often a look at HEARTBEAT.md, the owner's standing tasks. No model is asked when nothing stands there.

A task that was not changed is looked at again each time, as it may be about the world ("tell me when the greenhouse is
above 30 °C"). An answer that has nothing to tell is kept in the conversation and not sent.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Final

from microclaw.agent.inbox import Inbox
from microclaw.auth.people import OWNER
from microclaw.errors import MicroclawError
from microclaw.events import Answer, Inbound
from microclaw.knowledge.text_files import read_text
from microclaw.schedules.runner import Clock

HEARTBEAT: Final = "HEARTBEAT.md"
MAX_BYTES: Final = 8 * 1024  # of HEARTBEAT.md

_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_IDLE_LINE: Final = re.compile(
    r"\s*(?:#.*|[-*_=\s]*|(?:[-*+]|\d+[.)])\s*(?:\[[xX]\].*|\[ \]\s*)?)"
)  # headings, rules, empty points, checked boxes
_NOTHING: Final = re.compile(r"\W*(?:nothing(?: to (?:do|tell|report))?|no news|none|ok|heartbeat[ _]ok)\W*", re.I)
_PROMPT: Final = """\
This is your regular look at the standing tasks of HEARTBEAT.md. Do what is due now, with your tools. Tell only what the
person should hear. When nothing is due and there is nothing to tell, answer with the one word NOTHING.

{tasks}"""

_log = logging.getLogger(__name__)


def tasks_in(text: str) -> str:
    """What is to be looked after, without headings, comments, empty points and checked boxes; "" when nothing is."""
    lines = _COMMENT.sub("", text).splitlines()
    return "\n".join(line.rstrip() for line in lines if not _IDLE_LINE.fullmatch(line))


class Heartbeat:
    """`await heartbeat.run()` until it is cancelled. `place` is the owner's home chat (channel, chat id)."""

    def __init__(
        self, *, inbox: Inbox, file: Path, minutes: int, clock: Clock, place: tuple[str, str] = ("terminal", "terminal")
    ) -> None:
        self._inbox = inbox
        self._file = file
        self._every_ms = max(1, minutes) * 60_000
        self._clock = clock
        self._place = place

    async def run(self) -> None:
        never = asyncio.Event()
        due_ms = self._clock.now_ms() + self._every_ms
        while True:
            while (now_ms := self._clock.now_ms()) < due_ms:
                due_ms = min(due_ms, now_ms + self._every_ms)  # nearer, where the clock was set back
                await self._clock.wait(never, due_ms)
            due_ms = self._clock.now_ms() + self._every_ms
            try:
                await self.beat()
            except MicroclawError as exc:
                _log.warning("heartbeat: %s", exc.message)
            except Exception:
                _log.exception("a heartbeat failed; the next one comes")

    async def beat(self) -> Answer | None:
        """One look; None where there was nothing to do and no model was asked."""
        tasks = tasks_in(await asyncio.to_thread(read_text, self._file, MAX_BYTES))
        if not tasks:
            return None
        channel, chat_id = self._place
        key = f"heartbeat:{self._clock.now_ms()}"
        inbound = Inbound(channel, chat_id, _PROMPT.format(tasks=tasks), OWNER.person_id, key=key, origin="heartbeat")
        accepted = await self._inbox.accept(inbound)
        answer: Answer | None = None
        async for event in accepted.events:
            if isinstance(event, Answer):
                answer = event
        if answer is not None and answer.outbound_id is not None:
            if _says_something(answer):
                self._inbox.outbox.give_back(answer.outbound_id)
            else:
                await self._inbox.outbox.delivered(answer.outbound_id)
        return answer


def _says_something(answer: Answer) -> bool:
    """Failures of a model come again every time: they are the log's."""
    if answer.error_code is not None and not answer.actions:
        _log.warning("heartbeat: %s", answer.text)
        return False
    return _NOTHING.fullmatch(answer.text) is None
