"""`bench agent --sentences FILE`: says each sentence to a real host with a virtual board; the board's pins judge it.

It understands no sentence itself: what is to be seen after one is in the file (bench/wanted.py).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bench.processes import private_home, running
from bench.wanted import Sentence, Want, read_sentences
from bench.witness import ADC_VOLTS, READINGS, Witness, says
from microclaw.events import Answer, ApprovalAsked
from microclaw.hardware.boards.reader import load_board
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl
from microclaw.programs.patterns.library import fill
from microclaw.wire.host_api import StreamResult

BOARD = "virtual"
DEVICE = "virtual-1"
LANES = 3
CATEGORIES_ASKED = ("act", "keep_doing", "query")
GOAL_PERCENT = 85.0

_READY_S = 60.0
_PROGRAMS = {"blink": {"PIN": 4}, "fade": {"PIN": 5}, "thermostat": {"PIN": 16}}
_LEVEL_WORDS = re.compile(r"\b(?:1|high|on|pressed)\b", re.IGNORECASE)
_FIELD_WORDS = {"uptime": r"\d", "heap": r"\d|memory|heap", "version": r"firmware|version", "wifi": r"wi-?fi"}
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


class Outcome(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    MISREAD = "misread"
    ACTED_WRONGLY = "acted wrongly"
    REFUSED = "refused"
    ASKED = "asked back"


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence with what came of it. `missing`: what the board or the answer did not show.

    `confirmed`: a yes was said to the reading that the answer asked about.
    """

    sentence: Sentence
    outcome: Outcome
    missing: str
    answer: Answer
    took_s: float
    changed: bool
    confirmed: bool = False

    @property
    def tries(self) -> int:
        """One, and one more for every call that failed before the last."""
        return 1 + sum(action.outcome != "done" for action in self.answer.actions[:-1])


@dataclass(frozen=True, slots=True)
class Lane:
    """A host with one board, for one sentence after the other."""

    client: Client
    witness: Witness

    def say(self, sentence: Sentence) -> Said:
        self._clear()
        self.witness.prepare(_inputs(sentence.wants))
        self._wait_for_board()
        self._before(sentence.before)
        mark = self.witness.mark()
        began = time.perf_counter()
        answer = self._turn(sentence)
        took_s = time.perf_counter() - began
        acted = bool(self.witness.changed(mark))
        confirmed = answer.error_code == "confirm_reading" and not acted and not sentence.declined
        if confirmed:
            mark = self.witness.mark()
            answer = self._turn(sentence, "yes")
        missing = self._missing(sentence, answer, mark)
        changed = self.witness.changed(mark)
        outcome = _outcome(sentence, answer, missing, changed)
        if confirmed and outcome is not Outcome.RIGHT:
            outcome = Outcome.MISREAD  # who said it would have said no
        return Said(sentence, outcome, missing, answer, took_s, bool(changed), confirmed)

    def _turn(self, sentence: Sentence, text: str | None = None) -> Answer:
        """The answer in the sentence's own chat; what it asks to approve is declined."""
        body = {"text": text or sentence.utterance, "chat_id": f"sentence-{sentence.sentence_id}"}
        for event in self.client.stream("/v1/chat", body):
            if isinstance(event, ApprovalAsked):
                self.client.post(f"/v1/approvals/{event.approval_id}", {"approved": False})
            if isinstance(event, Answer):
                return event
        raise AssertionError(f"no answer to {sentence.utterance!r}")

    def _missing(self, sentence: Sentence, answer: Answer, mark: Any) -> str:
        for want in sentence.wants:
            match want.kind:
                case "nothing" | "asks" | "removal":
                    missing = "" if self.witness.unchanged(mark) else "the board was changed"
                    if not missing and want.kind != "nothing" and not _asks(answer):
                        missing = "no question"
                case "reads":
                    missing = _unsaid(want, answer, sentence.before)
                    if not missing and not self.witness.unchanged(mark):
                        missing = "the board was changed"
                case "scheduled":
                    done = any(action.outcome == "done" and "schedule" in action.tool for action in answer.actions)
                    missing = "" if done and self.witness.unchanged(mark) else "nothing was scheduled"
                case _:
                    # Evidence takes time to come; where no call was made and nothing changed, none will.
                    idle = not any(action.outcome == "done" for action in answer.actions) and self.witness.unchanged(
                        mark
                    )
                    if idle:
                        missing = "nothing was done"
                    else:
                        missing = self.witness.sees(want, mark)
            if missing:
                return missing
        stray = self.witness.changed(mark) - _pins_of(sentence)
        if stray and not sentence.declined:
            return f"also changed: {sorted(stray)}"
        return ""

    def _clear(self) -> None:
        """Take off what runs; the host would put it back after the board's reset."""
        names = [app["name"] for app in self.client.get("/v1/apps", {"device": DEVICE})["apps"]]
        for name in names:
            for _ in self.client.stream(f"/v1/devices/{DEVICE}/apps/{name}", method="DELETE"):
                pass

    def _wait_for_board(self) -> None:
        """Each way into it was cut by the reset: a reading comes by the serial line, the list of programs by TCP."""
        end = time.monotonic() + _READY_S
        while not (self._tool("i2c-read", {"sensor": "bme280"})["ok"] and self._tool("query-wasm-apps", {})["ok"]):
            if time.monotonic() > end:
                raise AssertionError("the board did not come back after its reset")
            time.sleep(0.05)

    def _before(self, before: str) -> None:
        """`led on`, `pin N on`, or the name of a pattern that runs."""
        if before.endswith(" on"):
            if before == "led on":
                pin = 2
            else:
                pin = int(before.split()[1])
            result = self._tool("gpio-set", {"pin": pin, "level": 1})
        elif before:
            program = fill(before, _PROGRAMS.get(before, {}))
            result = self._tool("deploy-wasm-app", {"sourceCode": program.source, "appName": program.app_name})
        else:
            return
        if not result["ok"]:
            raise AssertionError(f"could not make it so before the sentence: {before}: {result['content']}")

    def _tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        for event in self.client.stream(f"/v1/tools/{name}", {"arguments": arguments}):
            if isinstance(event, StreamResult):
                return event.value
        raise AssertionError(f"no result of {name}")


def run(path: Path, model: str = "offline", *, lanes: int = LANES) -> list[Said]:
    """Every sentence of the file, in its order. `model`: offline, or PROVIDER:NAME with that provider's key set."""
    sentences = read_sentences(path, load_board(BOARD))
    free: SimpleQueue[Lane] = SimpleQueue()

    def say(sentence: Sentence) -> Said:
        lane = free.get()
        try:
            return lane.say(sentence)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(lanes) as pool, _lanes(model, min(lanes, len(sentences)) or 1) as ready:
        for lane in ready:
            free.put(lane)
        return list(pool.map(say, sentences))


def report(said: Sequence[Said], path: Path, model: str) -> dict[str, Any]:
    """The counts by category, the totals and all that is not right, for programs."""
    wrong = [s for s in said if s.outcome is not Outcome.RIGHT]
    asked = round(_percent([s for s in said if s.sentence.category in CATEGORIES_ASKED]), 1)
    acted = sum(s.outcome is Outcome.ACTED_WRONGLY for s in said)
    without_yes = [s for s in said if s.sentence.category in CATEGORIES_ASKED and not s.confirmed]
    count = sum(s.sentence.category in CATEGORIES_ASKED for s in said)
    at_once = round(100 * sum(s.outcome is Outcome.RIGHT for s in without_yes) / max(1, count), 1)
    return {
        "bench": "agent",
        "sentences": str(path),
        "model": model,
        "categories": {category: _counts(group) for category, group in _groups(said).items()},
        "all": _counts(said),
        "metrics": {
            "right_asked": {"value": asked, "unit": "%", "goal": GOAL_PERCENT, "ok": asked >= GOAL_PERCENT},
            "right_at_once": {"value": at_once, "unit": "%"},
            "acted_wrongly": {"value": acted, "unit": "", "goal": 0, "ok": acted == 0},
        },
        "not_right": [
            {
                "id": s.sentence.sentence_id,
                "utterance": s.sentence.utterance,
                "category": s.sentence.category,
                "outcome": s.outcome.value,
                "wanted": "; ".join(map(str, s.sentence.wants)),
                "missing": s.missing,
                "answer": s.answer.text,
            }
            for s in wrong
        ],
    }


def as_text(document: dict[str, Any]) -> str:
    """The report as a table, and a line for each sentence that is not right."""
    head = (
        f"{'':<14}{'sentences':>10}"
        + "".join(f"{o.value:>15}" for o in Outcome)
        + f"{'tries':>8}{'usd':>9}{'s each':>8}"
    )
    rows = [f"agent, model {document['model']}: {document['sentences']}", head]
    for name, counts in [*document["categories"].items(), ("all", document["all"])]:
        cells = "".join(f"{counts[o.value]:>15}" for o in Outcome)
        if counts["usd"] is None:
            cost = "?"
        else:
            cost = f"{counts['usd']:.4f}"
        rows.append(
            f"{name:<14}{counts['sentences']:>10}{cells}{counts['tries']:>8.2f}{cost:>9}{counts['s_each']:>8.2f}"
        )
    metrics = document["metrics"]
    asked = metrics["right_asked"]
    acted = metrics["acted_wrongly"]
    rows.append(
        f"right of {', '.join(CATEGORIES_ASKED)}, after at most one yes: {asked['value']:g} % "
        f"(goal >= {GOAL_PERCENT:g} %); without one: {metrics['right_at_once']['value']:g} %"
    )
    rows.append(f"acted wrongly: {acted['value']} (goal 0)")
    for row in document["not_right"]:
        answer = row["answer"].replace("\n", " ")[:90]
        rows.append(f"  {row['outcome']:<14}{row['id']:>4} {row['utterance']!r}: {row['missing']} | {answer}")
    return "\n".join(rows)


def _outcome(sentence: Sentence, answer: Answer, missing: str, changed: set[int]) -> Outcome:
    if not missing:
        return Outcome.RIGHT
    if changed and (sentence.declined or sentence.category == "query" or changed - _pins_of(sentence)):
        return Outcome.ACTED_WRONGLY
    if changed:
        return Outcome.ACTED_WRONGLY if sentence.category in ("act", "keep_doing") else Outcome.WRONG
    if _asks(answer):
        return Outcome.ASKED
    return Outcome.REFUSED if answer.error_code is not None or not answer.actions else Outcome.WRONG


def _asks(answer: Answer) -> bool:
    return answer.error_code in ("ambiguous", "confirm", "confirm_reading") or (
        answer.error_code is None and "?" in answer.text
    )


def _pins_of(sentence: Sentence) -> set[int]:
    """The pins that may change: those that are wanted, programs where one is wanted or gone."""
    pins: set[int] = set()
    for want in sentence.wants:
        if want.kind in ("rule", "thermostat", "button"):
            pins |= {int(want.subject.rsplit(">", 1)[1])}
        if want.kind == "button":
            pins |= {want.pins[0]}  # the button that was pressed to see
        if want.kind in ("level", "duty", "pulse", "times", "blinks_for", "blink", "fade", "lights"):
            pins |= set(want.pins)
        if want.kind == "removed":
            return set(range(-1, 64))
        if want.kind not in ("level", "duty", "nothing", "asks", "reads"):
            pins |= {-1}
    return pins


def _inputs(wants: Sequence[Want]) -> list[int]:
    """Pins that a button or another chip holds high, so that a reading says something."""
    levels = [want.pins[0] for want in wants if want.kind == "reads" and want.subject.startswith("level")]
    return levels + [want.pins[0] for want in wants if want.kind == "button"]


def _unsaid(want: Want, answer: Answer, before: str) -> str:
    """The facts that an answer to a question leaves out."""
    text = f"{answer.text} {' '.join(evidence.text for evidence in answer.evidence)}"
    what = want.subject.split(" ")[0]
    if what in READINGS:
        value = READINGS[what][2]
        if says(text, value):
            return ""
        return f"the answer does not say {value:g}"
    match what:
        case "level":
            return "" if answer.actions and _LEVEL_WORDS.search(answer.text) else "the answer does not say high"
        case "volts":
            if says(text, ADC_VOLTS):
                return ""
            return f"the answer does not say {ADC_VOLTS:g}"
        case "app" | "apps":
            if before in text and answer.error_code is None:
                return ""
            return f"the answer does not say {before}"
        case "devices":
            if DEVICE in text:
                return ""
            return f"the answer does not say {DEVICE}"
        case "i2c":
            return "" if re.search(r"0x76|\b118\b", text) and re.search(r"0x40|\b64\b", text) else "addresses missing"
        case "pins":
            return "" if answer.error_code is None and re.search(r"\d", text) else "no pins are named"
        case _:
            words = _FIELD_WORDS.get(what, r"\w")
            understood = answer.error_code != "not_understood" and re.search(words, text, re.IGNORECASE)
            if understood:
                return ""
            return f"the answer does not say the {what}"


def _groups(said: Sequence[Said]) -> dict[str, list[Said]]:
    groups: dict[str, list[Said]] = {}
    for one in said:
        groups.setdefault(one.sentence.category, []).append(one)
    return groups


def _counts(said: Sequence[Said]) -> dict[str, Any]:
    counted = Counter(one.outcome for one in said)
    costs = [one.answer.usage.cost_usd for one in said]
    return {
        "sentences": len(said),
        **{outcome.value: counted[outcome] for outcome in Outcome},
        "right_percent": round(_percent(said), 1),
        "tries": round(sum(one.tries for one in said) / max(1, len(said)), 2),
        "usd": None if None in costs else round(sum(cost or 0.0 for cost in costs), 6),
        "s_each": round(sum(one.took_s for one in said) / max(1, len(said)), 3),
    }


def _percent(said: Sequence[Said]) -> float:
    return 100 * sum(one.outcome is Outcome.RIGHT for one in said) / max(1, len(said))


@contextmanager
def _lanes(model: str, count: int) -> Iterator[list[Lane]]:
    if count == 0:
        yield []
        return
    with _lane(model) as lane, _lanes(model, count - 1) as others:
        yield [lane, *others]


@contextmanager
def _lane(model: str) -> Iterator[Lane]:
    with (
        private_home(**_model_environ(model)) as environ,
        running("microclaw.virtual", "--die-with-parent", "--name", DEVICE, "--wasmachine", "0") as board,
        running("microclaw", "up", "--json", "--port", "0", environ=environ) as host,
        BoardControl(Path(board.facts["control"])) as link,
    ):
        if not host.facts.get("ready"):
            raise RuntimeError(f"the host did not start: {host.facts}")
        client = Client(load_settings(environ).control_socket)
        transports = [
            f"wasmachine://127.0.0.1:{board.facts['wasmachine']}",
            f"serial:tcp://127.0.0.1:{board.facts['serial']}",
            f"virtual:{board.facts['control']}",
        ]
        client.post("/v1/devices", {"name": DEVICE, "board": BOARD, "transports": transports})
        yield Lane(client, Witness(link))


def _model_environ(model: str) -> dict[str, str]:
    """The settings that make the host ask this model alone, with the keys that are set here."""
    if model == "offline":
        return {}
    provider, _, name = model.partition(":")
    if provider not in ("anthropic", "openai") or not name:
        raise ValueError(f"{model!r} is no model: offline, anthropic:NAME or openai:NAME")
    keys = {key: os.environ[key] for key in _KEYS if key in os.environ and key.lower().startswith(provider)}
    return {**keys, "MICROCLAW_MODEL": name, "MICROCLAW_MODEL__OFFLINE_FIRST": "false"}


def as_json(document: dict[str, Any]) -> str:
    return json.dumps(document)
