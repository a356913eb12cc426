"""The model without network: sentences of fixed kinds become tool calls. A guess only asks, it never acts."""

from __future__ import annotations

import asyncio
import json
import re
import time

import msgspec

from microclaw.agent.models.protocol import (
    AssistantReply,
    DeviceContext,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    UserText,
)
from microclaw.agent.offline.decision import Act, Decision, Parse, read_turn

_REFERS = re.compile(r"\b(?:it|its|that|this|them|those|these|one|ones|again|same|there|then|instead|before)\b", re.I)
_CALL = "offline-"
# As many calls of one reply are run (TurnLimits.calls_a_reply).
_MAX_CALLS = 8


class OfflineModel:
    """Answers sentences of fixed kinds."""

    name = "offline"

    async def warm_up(self) -> None:
        """Load the dialogue and its templates, so that the first sentence does not wait for them."""
        await asyncio.to_thread(load_dialogue)

    async def aclose(self) -> None:
        pass

    def is_sure(self, request: ModelRequest) -> bool:
        """Return True if a template fits the request, so that no language model is needed.

        The sentence must be complete: it refers to nothing before it and needs no question. A turn that began offline
        also ends offline.
        """
        from microclaw.agent.offline.dialogue import understand

        sentence, _, earlier = read_turn(request.messages)
        turn = request.messages[len(earlier) :]
        if request.task != "chat" or not turn or not isinstance(turn[0], UserText):
            return False
        calls = list[ToolCall]()
        for message in turn:
            if isinstance(message, AssistantReply):
                calls.extend(message.calls)
        if calls:
            return all(call.call_id.startswith(_CALL) for call in calls)
        last = earlier[-1] if earlier else AssistantReply("")
        # A model has to look at a picture, and to continue after a call of this chat that has no result yet.
        if turn[0].images or not isinstance(last, AssistantReply) or last.calls:
            return False
        parsed = understand(request)
        parse = parsed.parse
        if parse is None or not _is_complete(parse, parsed.decision):
            return False
        if "guess" in parse.values:
            return False
        if parsed.confirms:
            return True
        continues_chat = bool(earlier) and parse.kind != "undo" and _REFERS.search(sentence) is not None
        if parsed.refers or continues_chat or last.text.rstrip().endswith("?"):
            return False
        return _is_about_programs(parse, request.device_context)

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Return the next step of the turn: a tool call, or the answer in one piece."""
        from microclaw.agent.offline.choices import choices_of
        from microclaw.agent.offline.dialogue import understand
        from microclaw.agent.offline.dialogue_state import DialogueState

        start_s = time.perf_counter()
        parsed = understand(request)
        decision = parsed.decision
        duration_ms = max(1.0, (time.perf_counter() - start_s) * 1000)
        note = f"offline, {duration_ms:.0f} ms, cost 0"
        if isinstance(decision, Act):
            return _call_tools(decision, request, note)
        question = None
        if parsed.state != DialogueState():
            question = msgspec.json.encode(parsed.state).decode()
        if on_text is not None:
            on_text(decision.text)
        return ModelReply(
            decision.text,
            note=note,
            failed_code=decision.code,
            next_step=decision.next_step,
            question=question,
            choices=choices_of(decision, request.device_context),
            from_results=True,
        )


def load_dialogue() -> None:
    """Load what the first sentence needs: 0.5 s of CPU time and 11 MB."""
    from microclaw.agent.offline import choices, dialogue  # noqa: F401 - after the host's start
    from microclaw.agent.offline.sentences import english

    english()


def _is_complete(parse: Parse, decision: Decision) -> bool:
    """Return True if the sentence can be done as it is, and a model could not say more about it."""
    from microclaw.agent.offline.memory import MEMORY

    if parse.kind in ("help", "greeting", *MEMORY):
        return False
    return isinstance(decision, Act) or decision.code is None


def _is_about_programs(parse: Parse, device_context: DeviceContext | None) -> bool:
    """Return False if the sentence names a program that no device has: "stop the music" may be about something else."""
    from microclaw.agent.offline.apps import known_apps, match_names

    if parse.kind not in ("remove_app", "app_status", "switch_app"):
        return True
    devices = device_context.devices if device_context else ()
    name = parse.word("app") or ""
    return any(match_names(known_apps(device), name) for device in devices)


def _call_tools(act: Act, request: ModelRequest, note: str) -> ModelReply:
    """Return the reply with the calls. Only the first one of a turn has a note, and the intent that a user approves."""
    calls = list[ToolCall]()
    for index, one in enumerate((act, *act.also)[:_MAX_CALLS]):
        calls.append(ToolCall(f"{_CALL}{len(request.messages)}-{index}", one.tool, json.dumps(one.arguments)))
    last = request.messages[-1]
    intent = None
    call_note = ""
    if isinstance(last, UserText):
        intent = last.text and (act.words or last.text)
        call_note = note if last.text else ""
    return ModelReply("", tuple(calls), note=call_note, intent=intent, code_origin=act.code_origin, literal=True)
