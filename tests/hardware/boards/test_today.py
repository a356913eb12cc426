"""Your board today: each claim has evidence that is there, the page is made from the table, nothing claims hardware."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from microclaw.hardware.boards.feature_status import (
    OUR_FIRMWARE,
    STATES,
    VIRTUAL_FIRMWARE,
    VIRTUALS,
    WASMACHINE,
    families,
    family_of,
)
from microclaw.hardware.boards.reader import load_board
from microclaw.virtual.link.calls import FIRMWARE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "boards.md").read_text(encoding="utf-8")
TABLE = (ROOT / "src/microclaw/hardware/boards/evidence/today.toml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_page_is_the_one_made_from_the_table() -> None:
    """If this fails: make docs."""
    made = (ROOT / "docs" / "reference" / "boards.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "scripts" / "boards_page.py"))["page"]() == made
    assert all(f"| {state} | " in PAGE for state in STATES.values())


def test_what_was_tried_names_what_tried_it_and_that_is_there() -> None:
    for family in families().values():
        for finding in family.findings:
            if finding.state in ("works", "emulator", "unix_port", "double"):
                assert finding.evidence[0].startswith(("tests/", "make ", "by hand: ")), finding
            text = " ".join(finding.evidence)
            for path in re.findall(r"(?:tests|docs|firmware)/[\w/.-]*\w\.(?:py|md)", text):
                assert (ROOT / path).exists(), f"{finding.feature}, {family.family_id}: {path}"
            for target in re.findall(r"\bmake ([a-z-]+)\b", text):
                assert f"\n{target}:" in MAKEFILE, f"{finding.feature}: make {target}"


def test_every_claim_has_evidence_and_no_board_works_before_it_was_tried_on_hardware() -> None:
    data = tomllib.loads(TABLE)
    known = {"name", "needs", "chips", *families()}
    assert all({*VIRTUALS, WASMACHINE} <= set(row) <= known for row in data["features"])
    for family in families().values():
        for finding in family.findings:
            assert finding.state in STATES
            assert finding.evidence
            assert finding.state != "works" or family.family_id in VIRTUALS or family.hardware


@pytest.mark.parametrize(
    ("board_id", "kinds", "firmware"),
    [
        ("virtual", ("wasm",), "foreign 0.1"),
        ("esp32-devkitc-v4", ("py",), "microclaw-micropython-fork 0.1"),
        ("esp32-devkitc-v4", ("wasm",), ""),  # it never said hello
        ("esp32-devkitc-v4", (), None),  # a cable alone
    ],
)
def test_a_firmware_that_was_not_tried_has_no_family(
    board_id: str, kinds: tuple[str, ...], firmware: str | None
) -> None:
    assert family_of(board_id, load_board(board_id).chip, kinds, firmware) is None


def test_the_names_of_our_firmwares_are_those_of_their_hello() -> None:
    greeting = (ROOT / "firmware/fw/greeting.py").read_text(encoding="utf-8")
    assert f'"name": "{OUR_FIRMWARE}"' in greeting
    assert FIRMWARE == VIRTUAL_FIRMWARE
