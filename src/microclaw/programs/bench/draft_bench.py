"""The bench of a program that is being written: the board and the parts that its trial would have. Tries nothing."""

from __future__ import annotations

from msgspec import Struct

from microclaw.devices.link.device_facts import pin_facts
from microclaw.devices.link.results import PinFacts
from microclaw.errors import MicroclawError
from microclaw.hardware.boards.profile import BoardProfile, Layout
from microclaw.hardware.parts.wiring import Wiring, wiring_of_board
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.hardware.parts.wiring_file import read_wiring_text
from microclaw.programs.bench.results import BenchPart, bench_part
from microclaw.programs.bench.states import unknown_state
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.trial_wiring import trial_wiring


class DraftBoard(Struct, frozen=True, kw_only=True):
    """The board as GET /v1/devices/{device} has it."""

    chip: str
    pins: list[PinFacts]
    layout: Layout | None


class DraftBench(Struct, frozen=True, kw_only=True):
    """The parts are as GET bench has them, of unknown state. `message` and `next`: what is wrong with the wiring."""

    board: DraftBoard
    parts: list[BenchPart]
    message: str | None = None
    next: str | None = None


def draft_bench(
    image: ProgramImage | None, profile: BoardProfile, text: str | None, record: Wiring | None
) -> DraftBench:
    """Return the bench for a wiring's text, else for a device's record; with what is soldered on if the text is wrong.

    `image` None: the program cannot be built, so the parts that it names are not there.
    """
    message = None
    next_step = None
    try:
        wiring = _wiring(image, profile, text, record)
    except MicroclawError as exc:
        wiring = wiring_of_board(Wiring(), profile)
        message = exc.message
        next_step = exc.next_step
    return DraftBench(
        board=DraftBoard(chip=profile.chip, pins=pin_facts(profile, wiring), layout=profile.layout),
        parts=[bench_part(profile, wired, unknown_state(wired)) for wired in wiring.parts],
        message=message,
        next=next_step,
    )


def _wiring(image: ProgramImage | None, profile: BoardProfile, text: str | None, record: Wiring | None) -> Wiring:
    own = None
    if text is not None:
        own = read_wiring_text(text)
    if image is None:
        wiring = wiring_of_board(own or record or Wiring(), profile)
    else:
        wiring = trial_wiring(image, profile, own, record)
    check_wiring(wiring, profile)
    return wiring
