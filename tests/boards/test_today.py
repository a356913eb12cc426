"""Your board today: each claim has evidence that is there, the page is made from the table, nothing claims hardware."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from microclaw.boards.reader import load_board
from microclaw.boards.today import (
    OUR_FIRMWARE,
    STATES,
    VIRTUAL_FIRMWARE,
    families,
    family_of,
    parse_today,
)
from microclaw.virtual.link.calls import FIRMWARE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "boards.md").read_text(encoding="utf-8")
TABLE = (ROOT / "src/microclaw/boards/evidence/today.toml").read_text(encoding="utf-8")
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


def test_no_board_works_before_it_was_tried_on_hardware() -> None:
    claimed = TABLE.replace('esp32 = ["emulator", "by hand', 'esp32 = ["works", "by hand', 1)
    assert claimed != TABLE
    with pytest.raises(ValueError, match="nothing was tried on hardware"):
        parse_today(claimed)
    tried = claimed.replace("[hardware]\nesp32 = []", '[hardware]\nesp32 = ["DevKitC V4, 0.1.0, by ada: blinked"]')
    assert parse_today(tried)["esp32"].hardware


def test_a_table_with_a_hole_is_refused() -> None:
    for old, new in (
        ('virtual = ["cannot", "it has no radio"]\n', ""),
        ('["cannot", "it has no radio"]', '["cannot"]'),
    ):
        assert old in TABLE
        with pytest.raises(ValueError, match=r"nothing is said of virtual|has no evidence"):
            parse_today(TABLE.replace(old, new, 1))


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
