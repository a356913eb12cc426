"""Tools that remember, forget, recall, and load skills. Each person has their own memory; nothing is ranked here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from microclaw.auth.gate import Effect, Permission
from microclaw.devices.registry import Registry
from microclaw.events import VOICE_CHANNEL, Evidence
from microclaw.knowledge.memory import MAX_FACT_CHARS, Memory, one_fact
from microclaw.knowledge.search import Search
from microclaw.knowledge.skills import Skills
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput

_MAX_HITS = 12
_HIT_CHARS = 600
_MAX_LINES = 100
_PIN: Final = re.compile(r"\b(?:pins?|gpio) ?#?\d{1,2}\b", re.IGNORECASE)


class RememberParameters(Parameters, kw_only=True):
    text: Annotated[
        str, Meta(min_length=1, max_length=MAX_FACT_CHARS, description="The fact in one sentence of its own.")
    ]
    where: Annotated[Literal["memory", "today"], Meta(description="memory: it lasts; today: a note of this day.")] = (
        "memory"
    )
    device: Annotated[str, Meta(description="For wiring: the device that it is written down with.")] | None = None


class ForgetParameters(Parameters, kw_only=True):
    text: Annotated[str, Meta(min_length=2, max_length=300, description="Words that stand in the line.")]
    every: Annotated[bool, Meta(description="Remove all matching lines, however many.")] = False


class RecallParameters(Parameters, kw_only=True):
    text: Annotated[str, Meta(min_length=2, max_length=300, description="Words; left out: all of it.")] | None = None
    answers: Annotated[bool, Meta(description="Search what was answered in conversations too.")] = False


def remembering_tools(*, memory: Memory, search: Search, devices: Registry) -> tuple[Tool[Any], ...]:
    """remember, forget, recall."""

    async def check_remember(asked: RememberParameters, _: ToolContext) -> None:
        if asked.device is not None:
            devices.get(asked.device)
        one_fact(asked.text)

    async def remember(asked: RememberParameters, context: ToolContext) -> ToolOutput:
        if asked.device is not None:
            kept = await memory.remember_wiring(devices.get(asked.device).name, asked.text)
        elif asked.where == "today":
            kept = await memory.note(context.person_id, _with_board(asked.text, devices, context))
        else:
            kept = await memory.remember(context.person_id, _with_board(asked.text, devices, context))
        fields = {"success": True, "file": kept.name, "line": kept.line, "new": kept.new}
        state = "has it now" if kept.new else "had it already"
        text = f"{kept.name} {state}: {kept.line.removeprefix('- ')}"
        return ToolOutput(fields, (Evidence("written", text),))

    async def forget(asked: ForgetParameters, context: ToolContext) -> ToolOutput:
        removed = await memory.forget(context.person_id, asked.text, every=asked.every)
        lines = [{"file": one.name, "line": one.line} for one in removed]
        matches = await search.find(context.person_id, asked.text, limit=_MAX_HITS)
        fields: dict[str, Any] = {"success": bool(removed), "removed": lines}
        spoken = sum(one.kind in ("said", "answered") for one in matches)
        if spoken:
            fields["still_in_conversations"] = spoken
            fields["next"] = "conversations are kept whole: microclaw memory sessions --rm NAME removes one"
        if not removed:
            return ToolOutput({**fields, "message": "nothing that is remembered says that"})
        text = "; ".join(f"{one.name}: {one.line.removeprefix('- ')}" for one in removed)
        return ToolOutput(fields, (Evidence("written", f"removed from {text}"),))

    async def recall(asked: RecallParameters, context: ToolContext) -> ToolOutput:
        if asked.text is None:
            return ToolOutput({"success": True, "found": await asyncio.to_thread(_all, memory, context.person_id)})
        found = await search.find(context.person_id, asked.text, limit=3 * _MAX_HITS)
        hits = [one for one in found if asked.answers or one.kind != "answered"][:_MAX_HITS]
        told = [{"text": one.text[:_HIT_CHARS], "source": one.source, "day": one.day, "kind": one.kind} for one in hits]
        fields = {"success": True, "found": told}
        # An answer may repeat the text of a page or a device.
        return ToolOutput(fields, foreign=any(one.kind == "answered" for one in hits) or None)

    return (
        Tool(
            "remember",
            "Keep a fact for later conversations: wiring, names, wishes, decisions. Only what the person told you.",
            RememberParameters,
            Permission.ACT,
            Effect.IDEMPOTENT,
            remember,
            check=check_remember,
            asks=_is_spoken,
            words=_remember_words,
        ),
        Tool(
            "forget",
            "Remove what is remembered. Says which lines went.",
            ForgetParameters,
            Permission.ACT,
            Effect.IDEMPOTENT,
            forget,
            asks=_is_spoken,
            words=lambda asked, *_: f"forget {'all that says' if asked.every else 'what says'}: {asked.text}",
        ),
        Tool(
            "recall",
            "Search the person's memory, daily notes and earlier conversations.",
            RecallParameters,
            Permission.READ,
            Effect.READ,
            recall,
        ),
    )


async def _is_spoken(_: Parameters, context: ToolContext) -> bool:
    """Return True for a call by voice: it is read back before a misheard word is in the memory, or out of it."""
    return context.channel == VOICE_CHANNEL


def _with_board(text: str, devices: Registry, context: ToolContext) -> str:
    """Return a fact about a pin with its board: the chat's, or the only one. Other facts stay as they are.

    offline/memory.py reads the form.
    """
    if _PIN.search(text) is None:
        return text
    for device in devices.list():
        if re.search(rf"(?<![\w-]){re.escape(device.name)}(?![\w-])", text, re.IGNORECASE):
            return text
    boards = [device for device in devices.list() if device.board.pins]
    if context.device is not None:
        of_chat = [device for device in devices.list() if context.device in (device.device_id, device.name)]
        if not of_chat:  # it was removed
            return text
        boards = of_chat if of_chat[0] in boards else boards
    if len(boards) == 1:
        return f"{text.rstrip(' .')} (on {boards[0].name})"
    return text


def _remember_words(asked: RememberParameters, _: ToolContext, __: Sequence[str]) -> str:
    if asked.device is None:
        about = ""
    else:
        about = f" of {asked.device}"
    if asked.where == "today":
        about += " for today"
    return f"remember{about}: {asked.text}"


def _all(memory: Memory, person: str) -> list[dict[str, str]]:
    """Return the lines of MEMORY.md and of the latest notes; only a search finds the rest. Blocking."""
    texts = [("MEMORY.md", "", memory.text(person))]
    texts += [(f"{day.isoformat()}.md", day.isoformat(), text) for day, text in memory.recent_notes(person)]
    lines = []
    for name, day, text in texts:
        for line in map(str.strip, text.splitlines()):
            if line and not line.startswith("#"):
                fact = line.removeprefix("- ")[:_HIT_CHARS]
                lines.append({"text": fact, "source": f"memory/{name}", "day": day, "kind": "memory"})
    return lines[:_MAX_LINES]


class SkillParameters(Parameters, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64, description="The skill's name.")]
    file: Annotated[str, Meta(max_length=300, description="A file that its text names.")] | None = None
    offset: Annotated[int, Meta(ge=0, description="Where to go on, as the last answer says.")] = 0


def skill_tool(skills: Skills) -> Tool[Any]:
    """skill."""

    async def skill(asked: SkillParameters, _: ToolContext) -> ToolOutput:
        return ToolOutput(await asyncio.to_thread(load, asked))

    def load(asked: SkillParameters) -> dict[str, Any]:
        text, next_offset = skills.piece(asked.name, asked.file, asked.offset)
        fields: dict[str, Any] = {"success": True, "skill": asked.name, "text": text}
        if next_offset is not None:
            fields["next"] = f"it goes on: call skill again with offset {next_offset}"
        if asked.file is None and (files := skills.files(asked.name)):
            fields["files"] = list(files)
        return fields

    text = "Load a skill: how to do something well, step by step."
    return Tool("skill", text, SkillParameters, Permission.READ, Effect.READ, skill)
