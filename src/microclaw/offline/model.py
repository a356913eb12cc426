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
        # The first sentence or status loads it in 0.3 s: until then the host does without the dialogue's 8 MB.
        pass

    async def aclose(self) -> None:
        pass

    def is_sure(self, request: ModelRequest) -> bool:
        """Return True if a template fits the request, so that no language model is needed.

        The sentence must be complete: it refers to nothing before it and needs no question. A turn that began offline
        also ends offline.
        """
        from microclaw.offline.apps import known_apps, matching
        from microclaw.offline.dialogue import understand
        from microclaw.offline.memory import MEMORY

        text, _, before = turn_of(request.messages)
        last = before[-1] if before else AssistantReply("")
        turn = request.messages[len(before) :]
        if request.task != "chat" or not turn or not isinstance(turn[0], UserText):
            return False
        calls = list[ToolCall]()
        for message in turn:
            if isinstance(message, AssistantReply):
                calls.extend(message.calls)
        if calls:
            return all(call.call_id.startswith(_CALL) for call in calls)
        # A picture, or a call of this chat that has no answer yet.
        if turn[0].images or not isinstance(last, AssistantReply) or last.calls:
            return False
        understanding = understand(request)
        parse = understanding.parse
        decision = understanding.decision
        # A model has more to say than the fixed answers of these kinds.
        if parse is None or parse.kind in ("help", "greeting", *MEMORY):
            return False
        if isinstance(decision, Say) and decision.code is not None:
            return False
        if understanding.confirms:
            return True
        continues_chat = bool(before) and parse.kind != "undo" and _REFERS.search(text) is not None
        if understanding.refers or continues_chat or last.text.rstrip().endswith("?"):
            return False
        # "Stop the music" may be about something else than a program.
        if parse.kind not in ("remove_app", "app_status", "switch_app"):
            return True
        devices = request.device_context.devices if request.device_context else ()
        return any(matching(known_apps(device), parse.word("app") or "") for device in devices)

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Return the next step of the turn: a tool call, or the answer in one piece."""
        from microclaw.offline.dialogue import understand
        from microclaw.offline.dialogue_state import DialogueState

        start_s = time.perf_counter()
        understanding = understand(request)
        decision = understanding.decision
        duration_ms = max(1.0, (time.perf_counter() - start_s) * 1000)
        note = f"offline, {duration_ms:.0f} ms, cost 0"
        if isinstance(decision, Act):
            call = ToolCall(f"{_CALL}{len(request.messages)}", decision.tool, json.dumps(decision.arguments))
            last = request.messages[-1]
            origin = decision.code_origin
            if not isinstance(last, UserText):
                return ModelReply("", (call,), note="", intent=None, code_origin=origin, literal=True)
            intent = last.text and (decision.words or last.text)
            note = note if last.text else ""
            return ModelReply("", (call,), note=note, intent=intent, code_origin=origin, literal=True)
        text = decision.text
        code = decision.code
        step = decision.next_step
        question = None
        if understanding.state != DialogueState():
            question = msgspec.json.encode(understanding.state).decode()
        if on_text is not None:
            on_text(text)
        return ModelReply(text, note=note, failed_code=code, next_step=step, question=question, from_results=True)
