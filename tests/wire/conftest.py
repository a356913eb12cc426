"""Captured frames, and the examples of the protocols' pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CapturedFrame:
    runtime: str
    case: str
    direction: str  # ">" to the device, "<" from it
    raw: bytes

    def __str__(self) -> str:
        return f"{self.runtime.split(' (')[0]}: {self.direction} {self.case}"


def read_captured() -> list[CapturedFrame]:
    cases = json.loads((ROOT / "tests/vectors/wasmachine.json").read_text())["cases"]
    frames = []
    for case in cases:
        if case["to_device"] is not None:
            frames.append(CapturedFrame(case["runtime"], case["case"], ">", bytes.fromhex(case["to_device"])))
        frames += [CapturedFrame(case["runtime"], case["case"], "<", bytes.fromhex(r)) for r in case["from_device"]]
    return frames


def read_page(name: str, kind: str) -> dict[str, str]:
    """The fenced blocks of a documentation page whose info string is `kind NAME`."""
    text = (ROOT / "docs/protocols" / name).read_text()
    return {m[1]: m[2].strip() for m in re.finditer(rf"^```{kind} (\S+)\n(.*?)^```$", text, re.M | re.S)}


@pytest.fixture(scope="session")
def all_captured() -> list[CapturedFrame]:
    return read_captured()


@pytest.fixture(scope="session")
def wasmachine_page() -> dict[str, bytes]:
    """The example frames of docs/protocols/wasmachine.md, by name."""
    return {name: bytes.fromhex(text) for name, text in read_page("wasmachine.md", "frame").items()}


@pytest.fixture(scope="session")
def jsonline_page() -> dict[str, tuple[bytes, bytes]]:
    """The example exchanges of docs/protocols/jsonline.md: the line sent and the line that answers it."""
    exchanges = {}
    for name, text in read_page("jsonline.md", "exchange").items():
        sent, answer = text.splitlines()
        exchanges[name] = (sent.removeprefix("> ").encode(), answer.removeprefix("< ").encode())
    return exchanges
