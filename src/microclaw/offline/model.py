"""The model without network: sentences of fixed kinds become tool calls. A guess only asks, it never acts."""

from __future__ import annotations

import json
import re
import time

from microclaw.models.protocol import (
    AssistantReply,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    UserText,
)
from microclaw.offline.decision import Act, Say

_REFERS = re.compile(r"\b(?:it|its|that|this|them|those|these|one|ones|again|same|there|then|instead|before)\b", re.I)
_CALL = "offline-"


class OfflineModel:
    """Answers sentences; the first one loads the dialogue and its templates."""

    name = "offline"

    async def warm_up(self) -> None:
        pass  # the first sentence or status does it, in 0.3 s: a host that is not asked carries no dialogue (8 MB)

    async def aclose(self) -> None:
        pass

    def is_sure(self, request: ModelRequest) -> bool:
        """True if a template fits the request, so that no language model is needed.

        The sentence must be complete: it refers to nothing before it and needs no question. A turn that began offline
        also ends offline.
        """
        messages = request.messages
        start = max((i for i, m in enumerate(messages) if isinstance(m, UserText)), default=-1)
        if request.task != "chat" or start < 0:
            return False
        calls = [c for m in messages[start:] if isinstance(m, AssistantReply) for c in m.calls]
        if calls:
            return all(c.call_id.startswith(_CALL) for c in calls)
        asked, last = messages[start], messages[start - 1] if start else None
        if last is not None and not (isinstance(last, AssistantReply) and not last.calls):
            return False  # a call of this chat has no answer yet
        assert isinstance(asked, UserText)
        return not asked.images and _is_sure(request, asked.text, last.text if last is not None else None)

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The next step of the turn: a tool call, or the answer in one piece."""
        from microclaw.offline.dialogue import understand

        began = time.perf_counter()
        found = understand(request)
        took_ms = max(1.0, (time.perf_counter() - began) * 1000)
        note = f"offline, {took_ms:.0f} ms, cost 0"
        match found.decision:
            case Act() as act:
                call = ToolCall(f"{_CALL}{len(request.messages)}", act.tool, json.dumps(act.arguments))
                last = request.messages[-1]
                said = last.text if isinstance(last, UserText) else None
                return ModelReply(
                    "",
                    (call,),
                    note=note if said else "",
                    intent=said and (act.words or said),
                    code_origin=act.code_origin,
                    literal=True,
                )
            case Say() as say:
                if on_text is not None:
                    on_text(say.text)
                kept = found.state.to_json()
                return ModelReply(
                    say.text,
                    note=note,
                    failed_code=say.code,
                    next_step=say.next_step,
                    question=kept,
                    from_results=True,
                )


def _is_sure(request: ModelRequest, text: str, before: str | None) -> bool:
    """True if the first message of a turn, after the answer `before`, can be acted on without more context."""
    from microclaw.offline.apps import known_apps, matching
    from microclaw.offline.dialogue import understand
    from microclaw.offline.memory import MEMORY

    found = understand(request)
    parse, decision = found.parse, found.decision
    if parse is None or parse.kind in ("help", "greeting", *MEMORY):
        return False  # or a model has more to say
    if isinstance(decision, Say) and decision.code is not None:
        return False
    if found.confirms:
        return True
    if found.refers or (before or "").rstrip().endswith("?"):
        return False
    if before is not None and parse.kind != "undo" and _REFERS.search(text):
        return False
    devices = request.device_context.devices if request.device_context else ()
    is_known = any(matching(known_apps(one), parse.word("app") or "") for one in devices)
    return is_known or parse.kind not in ("remove_app", "app_status", "switch_app")  # "stop the music" may be other
