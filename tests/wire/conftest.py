"""Captured frames, and the blocks of the protocols' pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CapturedFrame:
    runtime: str
    case: str
    direction: str  # ">" to the device, "<" from it
    raw: bytes


def _read_captured() -> list[CapturedFrame]:
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


CAPTURED = _read_captured()
