"""The model that needs no network: sentences of fixed kinds become calls of the same tools. It never guesses."""

from __future__ import annotations

import asyncio
import json
import re
import time

from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    UserText,
)
from microclaw.offline.decision import Act, Say
from microclaw.offline.dialogue import understand, warm_up
from microclaw.offline.memory import MEMORY

_REFERS = re.compile(r"\b(?:it|its|that|this|them|those|these|one|ones|again|same|there|then|instead|before)\b", re.I)
_SMALL_TALK = frozenset({"help", "greeting", *MEMORY})  # a model has more to say
_CALL = "offline-"


class OfflineModel:
    """Answers from templates, which the first sentence or `warm_up` loads."""

    name = "offline"

    async def warm_up(self) -> None:
        await asyncio.to_thread(warm_up)

    async def aclose(self) -> None:
        pass

    def is_sure(self, request: ModelRequest) -> bool:
        """Whether the templates alone do what was asked, so that no better model is needed.

        A whole sentence of a kind that acts or asks something, which needs nothing said before and nothing asked
        back. A turn that began here ends here.
        """
        start = max((i for i, m in enumerate(request.messages) if isinstance(m, UserText)), default=-1)
        if request.task != "chat" or start < 0:
            return False
        asked = request.messages[start]
        calls = [c for m in request.messages[start:] if isinstance(m, AssistantReply) for c in m.calls]
        if calls:
            return all(c.call_id.startswith(_CALL) for c in calls)
        assert isinstance(asked, UserText)
        return not asked.images and _is_sure(request, asked.text, start)

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The next step of the turn: a tool call while one is needed, else the answer, which comes at once."""
        began = time.perf_counter()
        found = understand(request)
        took_ms = max(1.0, (time.perf_counter() - began) * 1000)
        note = f"offline, {took_ms:.0f} ms, cost 0"
        match found.decision:
            case Act() as act:
                call = ToolCall(f"{_CALL}{len(request.messages)}", act.tool, json.dumps(act.arguments))
                return ModelReply(
                    "",
                    (call,),
                    note=note if act.intent else "",
                    intent=act.intent,
                    plan=act.plan,
                    code_origin=act.code_origin,
                    literal=not found.before or not (found.completes or _REFERS.search(found.said)),
                )
            case Say() as say:
                if on_text is not None:
                    on_text(say.text)
                question = found.question.to_json() if found.question is not None else None
                return ModelReply(say.text, note=note, failed_code=say.code, next_step=say.next_step, question=question)


def _is_sure(request: ModelRequest, text: str, start: int) -> bool:
    """Whether a first message of a turn is a sentence to act on as it stands."""
    last = request.messages[start - 1] if start else None
    if last is not None and not (isinstance(last, AssistantReply) and not last.calls):
        return False  # it steers a turn that is under way
    found = understand(request)
    parse = found.parse
    if parse is None or parse.loose or parse.kind in _SMALL_TALK:
        return False
    if isinstance(found.decision, Say) and found.decision.code is not None:
        return False
    if found.completes:
        return parse.confirmed
    if last is not None and last.text.rstrip().endswith("?"):
        return False
    if last is not None and parse.kind != "undo" and _REFERS.search(text):
        return False
    return parse.kind not in ("remove_app", "app_status") or _knows_app(request.scene, parse.word("app") or "")


def _knows_app(scene: DeviceContext | None, said: str) -> bool:
    """Whether a program of about that name is on a board: "stop the music" may mean something else."""
    begins = re.sub(r"[\W_]+", "", said.lower())[:4]
    names = [app.name for device in scene.devices for app in device.apps] if scene else []
    return any(re.sub(r"[\W_]+", "", name.lower()).startswith(begins) for name in names)
