"""Reads a sentence as it is meant in its chat: a fact, boards, a program's name, the last act, else a template.

It decides nothing and calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.events import NOTHING_WAITS
from microclaw.language.quantities import normalize_quantities
from microclaw.language.yes_no import said_no, said_yes
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.apps import has_app, program_order
from microclaw.offline.boards import EXCEPT, ON_MANY, Chosen, chosen_boards, unknown_device, with_written_names
from microclaw.offline.decision import Context, Parse, Result, Say
from microclaw.offline.last_act import LastAct, Undoable
from microclaw.offline.memory import is_for_the_board, parse_memory
from microclaw.offline.names import names_to_pins, told_name
from microclaw.offline.pins import NO_DEVICE, pads_to_pins
from microclaw.offline.references import on_target, referred, with_target
from microclaw.offline.sentences import MAX_SENTENCE_CHARS, REMOTE, english

ADD_A_MODEL: Final = (
    "for any sentence set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a free local model "
    "(Ollama: OPENAI_BASE_URL=http://localhost:11434/v1), then start the host again"
)
_NOTHING: Final = "Nothing was done in this chat just now that this can be about, so I did nothing."
_WHOLE_SENTENCE: Final = "say the whole sentence, as in: blink pin 2 every 200 ms"
_NO_PIN: Final = re.compile(r"\b(?:pin|gpio|io) (?:-\s?\d[\d.]*|\d+\.\d+)", re.I)
_NO: Final = re.compile(r"(?i)^\s*(?:no|sorry|i meant?)\b[\s,]*")
_OF_IT: Final = re.compile(r"(?:please )?\w+ (?:it|that|this)\b", re.IGNORECASE)
_OF_PINS: Final = frozenset({"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc"})  # with a pin: nothing else


class SentenceReader(Struct):
    """Reads one sentence. `act` is the last act of its chat, `undoable` all acts that undo goes back through."""

    said: str
    known: DeviceContext
    results: tuple[Result, ...]
    act: LastAct | None
    undoable: Undoable

    def read(self) -> Context | Say:
        if len(self.said) > MAX_SENTENCE_CHARS:
            return _not_understood(self.said[:MAX_SENTENCE_CHARS])
        if self.act is not None and self.act.device is not None and self._named(self.act.device) is None:
            self.act = None  # "it" is nothing on another device
        parse = english().parse(self.said)
        if parse is not None and not parse.loose and parse.kind in _OF_PINS and parse.number("pin") is not None:
            return self._reading(parse)
        return self._of_memory() or self._of_boards()

    def _named(self, name: str) -> KnownDevice | None:
        return next((device for device in self.known.devices if device.name == name), None)

    def _reading(
        self,
        parse: Parse,
        device: KnownDevice | None = None,
        *,
        named: bool = False,
        said: str | None = None,
        refers: bool = False,
    ) -> Context:
        there = device or self.known.meant
        return Context(parse, said or self.said, self.known, there, named, self.results, refers=refers)

    def _of_memory(self) -> Context | None:
        said = self.said
        memory = parse_memory(said)
        told = _NO.sub("", said).strip().rstrip(".!")
        if memory is None and told_name(told) and not said.rstrip().endswith("?"):
            memory = Parse("remember", {"text": told})
        return None if memory is None or is_for_the_board(memory, said, english()) else self._reading(memory)

    def _of_boards(self) -> Context | Say:
        self.said = said = with_written_names(self.said, self.known)
        chosen = chosen_boards(said, self.known)
        if isinstance(chosen, Say):
            return chosen
        if chosen is None:
            return self._of_board(said, None)
        if len(chosen.devices) == 1:
            return self._of_board(chosen.rest, chosen.devices[0])
        return self._of_each(chosen)

    def _of_each(self, chosen: Chosen) -> Context | Say:
        """The sentence as each board reads it, or why it is not done on several."""
        if EXCEPT.search(self.said):
            step = f"name those that you mean, as in: on {' and '.join(one.name for one in chosen.devices[:2])}"
            return Say("I leave no board out of a sentence, so I did nothing.", "ambiguous", step)
        if not chosen.devices:
            return NO_DEVICE
        self.act, each = None, list[Context]()
        for device in chosen.devices:
            found = self._of_board(chosen.rest, device)
            if isinstance(found, Say):
                return found
            if found.device is not device:
                return Say("That name is of a pin of another board.", "ambiguous", "name the pin: pin 4")
            if found.parse.kind not in ON_MANY or "it" in (found.parse.word("thing"), found.parse.word("app")):
                step = f"as in: turn on pin 4 everywhere; or for one board: on {device.name}"
                return Say("I do not do that on several boards at once, so I did nothing.", "ambiguous", step)
            confirmed = replace(found.parse, confirmed=True)  # the one question is that of the tool
            each.append(replace(found, parse=confirmed, said=chosen.rest, named=True, results=()))
        return Context(each[0].parse, self.said, self.known, None, chosen.named, self.results, tuple(each))

    def _of_board(self, text: str, named: KnownDevice | None) -> Context | Say:
        """Read a sentence for one board, without its name."""
        device = named or self.known.meant
        text = pads_to_pins(text, device.board if device else None)
        order = program_order(text, self.known, named)
        if isinstance(order, Say):
            return order
        if order is not None:
            having = [one for one in self.known.devices if has_app(one, order.word("app") or "")]
            there = named or (having[0] if order.kind != "remove_app" and len(having) == 1 else None)
            return self._reading(order, there, named=there is not None)
        with_pins, named = names_to_pins(text, self.known, named)
        about = self._of_last_act(with_pins, named) if self.act is not None else None
        return about or self._by_template(with_pins, named, with_pins if with_pins != text else self.said)

    def _of_last_act(self, text: str, named: KnownDevice | None) -> Context | Say | None:
        """Read a sentence about the last act, by itself or with the act's target in the place of "it"."""
        act = self.act
        assert act is not None
        there = named or (self._named(act.device) if act.device is not None else None) or self.known.meant
        found = referred(text, act, elsewhere=named is not None and named.name != act.device)
        if found is None:
            meant = with_target(text, act)
            parse = english().parse(meant) if isinstance(meant, str) else None
            if parse is None or parse.loose:
                return replace(meant, refers=True) if isinstance(meant, Say) else None
            found, text = on_target(parse, act), str(meant)
        if isinstance(found, Say):
            return replace(found, refers=True)
        return self._reading(found, there, named=there is not None, said=text, refers=True)

    def _by_template(self, text: str, named: KnownDevice | None, said: str) -> Context | Say:
        if (is_yes := said_yes(self.said)) or said_no(self.said):
            word = "yes" if is_yes else "no"
            return Say(f"Nothing waits for a {word} in this chat.", NOTHING_WAITS, refers=True)
        parse = english().parse(text)
        if (unknown := unknown_device(self.said, parse, self.known)) is not None:
            return unknown
        if parse is None:
            if self.act is None and english().reference(normalize_quantities(text).replace(",", "")) is not None:
                return Say(_NOTHING, "ambiguous", _WHOLE_SENTENCE)
            return _not_understood(text)
        newest = self.undoable[-1] if self.undoable else None
        if parse.kind == "undo" and newest is not None and named is None:
            parse = replace(newest, values=newest.values | {"undo": True})
        return self._reading(parse, named, named=named is not None, said=said)


def _not_understood(text: str) -> Context | Say:
    """The answer. What speaks of nothing that a sentence may be about leaves the last act as it is."""
    if no_pin := _NO_PIN.search(text):
        return Say(f"There is no {no_pin[0]}, so I did nothing.", "ambiguous", "for example: turn on pin 4")
    examples = english().nearest(text)
    shown = numbered(examples) if len(examples) > 1 else "".join(examples)
    meant = f"Did you mean: {shown}?" if examples else "Ask: what can you do."
    of_act = not re.search(r"\d", text) and (
        _OF_IT.match(text) or not (examples or english().nearest(text, least=REMOTE))
    )
    text = f"I did not understand that, so I did nothing. {meant}"
    return Say(text, "not_understood", ADD_A_MODEL, suggested=examples, refers=bool(of_act))


def numbered(suggested: Sequence[str]) -> str:
    """Sentences to choose from by their number."""
    return "; ".join(f"{n}: {one}" for n, one in enumerate(suggested, start=1))
