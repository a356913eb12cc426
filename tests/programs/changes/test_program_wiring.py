"""The wiring that comes with a program: its trials are with it, also the later ones of the installed version."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.wiring import Wiring, parse_wiring
from microclaw.programs.building import ProgramImage
from microclaw.programs.proof.trial import Trial, TrialOptions

BUTTON = parse_wiring('[btn1]\npart = "button"\npin = 4\n')
SONAR = parse_wiring('[sonar]\npart = "hcsr04"\ntrig = 4\necho = 5\n')
RESERVED = parse_wiring('[btn1]\npart = "button"\npin = 27\n')


@pytest.fixture
def wirings(lab: Any) -> list[Wiring | None]:
    """The wirings of the trials, in order."""
    seen: list[Wiring | None] = []
    try_on_paper = lab.try_image

    async def try_image(image: ProgramImage, board: BoardProfile, options: TrialOptions) -> Trial:
        seen.append(options.wiring)
        trial: Trial = await try_on_paper(image, board, options)
        return trial

    lab.try_image = try_image
    lab.rebuild()
    return seen


async def test_later_trials_of_a_version_are_with_its_wiring(lab: Any, wirings: list[Wiring | None]) -> None:
    await lab.deploy(wiring=BUTTON)
    for act, more in (("restart", {}), ("stop", {}), ("start", {}), ("upgrade", {"source": "v2"})):
        lab.rebuild()  # the host was started again
        lab.plays("blink", 2)
        await lab.act(act, **more)
    assert wirings == [BUTTON] * 4
    [app] = await lab.change_log.desired()
    assert app.version.wiring == BUTTON


async def test_a_new_wiring_replaces_the_former_and_an_undo_brings_it_back(
    lab: Any, wirings: list[Wiring | None]
) -> None:
    await lab.deploy(wiring=BUTTON)
    lab.plays("blink", 2)
    await lab.act("upgrade", source="v2", wiring=SONAR)
    lab.plays("blink", 2)
    await lab.take_back()
    await lab.deploy(source="v3")
    assert wirings == [BUTTON, SONAR, BUTTON, None]


async def test_a_wiring_that_the_board_cannot_have_is_refused_before_the_trial(
    lab: Any, wirings: list[Wiring | None]
) -> None:
    with pytest.raises(ConfigError) as caught:
        await lab.deploy(wiring=RESERVED)
    assert "btn1: pin on pin 27" in caught.value.message
    assert (wirings, lab.running(), lab.stages()) == ([], {}, [("compile", "done"), ("check", "failed")])
