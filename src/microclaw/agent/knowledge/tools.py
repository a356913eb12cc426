"""Tools that remember, forget, recall, and load skills. Each person has their own memory; nothing is ranked here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from microclaw.agent.knowledge.memory import MAX_FACT_CHARS, Memory, check_fact
from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.skills import Skills
from microclaw.agent.knowledge.wired_facts import stated_pin
from microclaw.devices.registry.device_entry import wiring_differences
from microclaw.devices.registry.registry import Registry
from microclaw.errors import ConfigError, MicroclawError, PinClaimed
from microclaw.events import VOICE_CHANNEL, Evidence
from microclaw.hardware.parts.named_parts import name_pin, without_part
from microclaw.hardware.parts.wiring import wiring_tables
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput

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
    text: Annotated[str, Meta(min_length=2, max_length=300, description="Words; without them: all of it.")] | None = (
        None
    )
    answers: Annotated[bool, Meta(description="Search the answers in conversations too.")] = False


def memory_tools(
    *, memory: Memory, search: Search, devices: Registry, name_of: Callable[[str], str]
) -> tuple[Tool[Any], ...]:
    """Return the tools remember, forget and recall. `name_of` returns a person's name, for the security log."""
    tools = _MemoryTools(memory, search, devices, name_of)
    return (tools.remembering(), tools.forgetting(), tools.recalling())


@dataclass(frozen=True, slots=True)
class _MemoryTools:
    """The tools of a person's memory, with the parts that they work with."""

    memory: Memory
    search: Search
    devices: Registry
    name_of: Callable[[str], str]

    def remembering(self) -> Tool[Any]:
        return Tool(
            "remember",
            "Keep a fact for later conversations: wiring, names, wishes, decisions. Only what the person told you.",
            RememberParameters,
            Permission.ACT,
            Effect.IDEMPOTENT,
            self._remember,
            check=self._check_remember,
            asks=_is_spoken,
            words=_remember_words,
        )

    def forgetting(self) -> Tool[Any]:
        return Tool(
            "forget",
            "Remove what is remembered. Says which lines went.",
            ForgetParameters,
            Permission.ACT,
            Effect.IDEMPOTENT,
            self._forget,
            asks=_is_spoken,
            words=_forget_words,
        )

    def recalling(self) -> Tool[Any]:
        return Tool(
            "recall",
            "Search the person's memory, daily notes and earlier conversations.",
            RecallParameters,
            Permission.READ,
            Effect.READ,
            self._recall,
        )

    async def _check_remember(self, parameters: RememberParameters, _: ToolContext) -> None:
        if parameters.device is not None:
            self.devices.get(parameters.device)
        check_fact(parameters.text)

    async def _remember(self, parameters: RememberParameters, context: ToolContext) -> ToolOutput:
        fact = parameters.text
        if parameters.device is None:
            fact = _with_board(fact, self.devices, context)
        # First: what contradicts the record is not remembered.
        pin_fields = await self._record_pin(fact, parameters.device, context)
        if parameters.device is not None:
            device = self.devices.get(parameters.device)
            memory_line = await self.memory.remember_wiring(device.name, fact)
        elif parameters.where == "today":
            memory_line = await self.memory.note(context.person_id, fact)
        else:
            memory_line = await self.memory.remember(context.person_id, fact)
        fields = {"success": True, "file": memory_line.name, "line": memory_line.line, "new": memory_line.new}
        state = "has it now" if memory_line.new else "had it already"
        proof = f"{memory_line.name} {state}: {memory_line.line.removeprefix('- ')}"
        return ToolOutput({**fields, **pin_fields}, (Evidence("written", proof),))

    async def _record_pin(self, line: str, device: str | None, context: ToolContext) -> dict[str, Any]:
        """Record the part of a fact as "the lamp is on pin 4" as wired to its device.

        Return a field with what is another now, or with the reason if nothing is recorded: the fact is remembered all
        the same. Raises PinClaimed for a pin that has another part, and ConfigError if the board cannot have it so.
        """
        pin = stated_pin(line, device)
        if pin is None or pin.device is None:
            return {}
        try:
            target = self.devices.get(pin.device)
            before = wiring_tables(target.wiring)
            await self.devices.change_wiring(
                target.device_id,
                lambda wiring: name_pin(wiring, target.board, pin.name, pin.pin, device=target.name),
                by=self.name_of(context.person_id),
            )
        except (PinClaimed, ConfigError):
            raise
        except MicroclawError as exc:
            return {"not_wired": exc.message}
        changes = list(wiring_differences(before, wiring_tables(target.wiring)))
        if not changes:
            return {}
        return {"wired": changes}

    async def _forget_pins(self, lines: Sequence[str], context: ToolContext) -> None:
        """Remove the parts that forgotten facts name from the record of what is wired."""
        for line in lines:
            pin = stated_pin(line, None)
            if pin is None or pin.device is None:
                continue
            with suppress(MicroclawError):
                target = self.devices.get(pin.device)
                part = target.record.called(pin.name)
                # Another sentence, or a person at the command line, may have wired it elsewhere since.
                if part is not None and tuple(part.pins.values()) == (pin.pin,):
                    await self.devices.change_wiring(
                        target.device_id,
                        lambda wiring, part_id=part.id: without_part(wiring, part_id),  # type: ignore[misc]
                        by=self.name_of(context.person_id),
                    )

    async def _forget(self, parameters: ForgetParameters, context: ToolContext) -> ToolOutput:
        removed_lines = await self.memory.forget(context.person_id, parameters.text, every=parameters.every)
        matches = await self.search.find(context.person_id, parameters.text, limit=_MAX_HITS)
        fields: dict[str, Any] = {
            "success": bool(removed_lines),
            "removed": [{"file": removed.name, "line": removed.line} for removed in removed_lines],
        }
        spoken_count = sum(match.kind in ("said", "answered") for match in matches)
        if spoken_count:
            fields["still_in_conversations"] = spoken_count
            fields["next"] = "conversations are kept whole: microclaw memory sessions --rm NAME removes one"
        if not removed_lines:
            return ToolOutput({**fields, "message": "no remembered line says that"})
        await self._forget_pins([removed.line for removed in removed_lines], context)
        facts = [f"{removed.name}: {removed.line.removeprefix('- ')}" for removed in removed_lines]
        return ToolOutput(fields, (Evidence("written", f"removed from {'; '.join(facts)}"),))

    async def _recall(self, parameters: RecallParameters, context: ToolContext) -> ToolOutput:
        if parameters.text is None:
            lines = await asyncio.to_thread(_all_lines, self.memory, context.person_id)
            return ToolOutput({"success": True, "found": lines})
        matches = await self.search.find(context.person_id, parameters.text, limit=3 * _MAX_HITS)
        hits: list[dict[str, str]] = []
        is_foreign: bool | None = None
        for match in matches:
            is_answer = match.kind == "answered"
            if len(hits) == _MAX_HITS or (is_answer and not parameters.answers):
                continue
            text = match.text[:_HIT_CHARS]
            hits.append({"text": text, "source": match.source, "day": match.day, "kind": match.kind})
            # An answer may repeat the text of a page or a device.
            if is_answer:
                is_foreign = True
        return ToolOutput({"success": True, "found": hits}, foreign=is_foreign)


async def _is_spoken(_: Parameters, context: ToolContext) -> bool:
    """Return True for a call by voice: the person confirms it, as a misheard word would change the memory."""
    return context.channel == VOICE_CHANNEL


def _with_board(text: str, devices: Registry, context: ToolContext) -> str:
    """Return a fact about a pin with the chat's board, or with the only board. Other facts stay as they are.

    agent/language/pin_names.py reads this form.
    """
    if _PIN.search(text) is None:
        return text
    boards = []
    chat_devices = []
    for device in devices.list():
        if re.search(rf"(?<![\w-]){re.escape(device.name)}(?![\w-])", text, re.IGNORECASE):
            return text
        if device.board.pins:
            boards.append(device)
        if context.device in (device.device_id, device.name):
            chat_devices.append(device)
    # The chat's device was removed, so the pin may be of any board.
    if context.device is not None and not chat_devices:
        return text
    if chat_devices and chat_devices[0] in boards:
        boards = chat_devices
    if len(boards) == 1:
        return f"{text.rstrip(' .')} (on {boards[0].name})"
    return text


def _remember_words(parameters: RememberParameters, _: ToolContext, __: Sequence[str]) -> str:
    words = "remember"
    if parameters.device is not None:
        words += f" of {parameters.device}"
    if parameters.where == "today":
        words += " for today"
    return f"{words}: {parameters.text}"


def _forget_words(parameters: ForgetParameters, _: ToolContext, __: Sequence[str]) -> str:
    if parameters.every:
        return f"forget all that says: {parameters.text}"
    return f"forget what says: {parameters.text}"


def _all_lines(memory: Memory, person: str) -> list[dict[str, str]]:
    """Return the lines of MEMORY.md and of the latest notes; only a search finds the rest. Blocking."""
    texts = [("MEMORY.md", "", memory.text(person))]
    for note_day, note in memory.recent_notes(person):
        date_text = note_day.isoformat()
        texts.append((f"{date_text}.md", date_text, note))
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
    offset: Annotated[int, Meta(ge=0, description="Where to continue, as the last answer says.")] = 0


def skill_tool(skills: Skills) -> Tool[Any]:
    """Build the tool skill."""

    async def skill(parameters: SkillParameters, _: ToolContext) -> ToolOutput:
        return ToolOutput(await asyncio.to_thread(load, parameters))

    def load(parameters: SkillParameters) -> dict[str, Any]:
        text, next_offset = skills.piece(parameters.name, parameters.file, parameters.offset)
        fields: dict[str, Any] = {"success": True, "skill": parameters.name, "text": text}
        if next_offset is not None:
            fields["next"] = f"there is more: call skill again with offset {next_offset}"
        files = skills.files(parameters.name) if parameters.file is None else ()
        if files:
            fields["files"] = list(files)
        return fields

    text = "Load a skill: how to do something well, step by step."
    return Tool("skill", text, SkillParameters, Permission.READ, Effect.READ, skill)
