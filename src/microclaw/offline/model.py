"""The model without network: sentences of fixed kinds become tool calls. A guess only asks, it never acts."""

from __future__ import annotations

import json
import re
import time

import msgspec

from microclaw.models.protocol import AssistantReply, ModelReply, ModelRequest, OnText, ToolCall, UserText
from microclaw.offline.decision import Act, Say, turn_of

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
        from microclaw.offline.apps import known_apps, matching
        from microclaw.offline.dialogue import understand
        from microclaw.offline.memory import MEMORY

        text, _, before = turn_of(request.messages)
        if before:
            last = before[-1]
        else:
            last = AssistantReply("")
        turn = request.messages[len(before) :]
        if request.task != "chat" or not turn or not isinstance(asked := turn[0], UserText):
            return False
        calls = [call for m in turn if isinstance(m, AssistantReply) for call in m.calls]
        if calls:
            return all(call.call_id.startswith(_CALL) for call in calls)
        if asked.images or not isinstance(last, AssistantReply) or last.calls:
            return False  # a picture, or a call of this chat that has no answer yet
        found = understand(request)
        parse = found.parse
        decision = found.decision
        if parse is None or parse.kind in ("help", "greeting", *MEMORY):
            return False  # or a model has more to say
        if isinstance(decision, Say) and decision.code is not None:
            return False
        if found.confirms:
            return True
        goes_on = before and parse.kind != "undo" and _REFERS.search(text)
        if found.refers or goes_on or last.text.rstrip().endswith("?"):
            return False
        if request.device_context:
            devices = request.device_context.devices
        else:
            devices = ()
        is_known = any(matching(known_apps(one), parse.word("app") or "") for one in devices)
        return is_known or parse.kind not in ("remove_app", "app_status", "switch_app")  # "stop the music" may be other

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The next step of the turn: a tool call, or the answer in one piece."""
        from microclaw.offline.dialogue import understand
        from microclaw.offline.last_act import DialogueState

        began = time.perf_counter()
        found = understand(request)
        decision = found.decision
        took_ms = max(1.0, (time.perf_counter() - began) * 1000)
        note = f"offline, {took_ms:.0f} ms, cost 0"
        if isinstance(decision, Act):
            call = ToolCall(f"{_CALL}{len(request.messages)}", decision.tool, json.dumps(decision.arguments))
            last = request.messages[-1]
            said = last.text if isinstance(last, UserText) else None
            intent = said and (decision.words or said)
            origin = decision.code_origin
            return ModelReply("", (call,), note=note if said else "", intent=intent, code_origin=origin, literal=True)
        text = decision.text
        code = decision.code
        step = decision.next_step
        if found.state == DialogueState():
            kept = None
        else:
            kept = msgspec.json.encode(found.state).decode()
        if on_text is not None:
            on_text(text)
        return ModelReply(text, note=note, failed_code=code, next_step=step, question=kept, from_results=True)
