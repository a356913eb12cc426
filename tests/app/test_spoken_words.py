"""Texts for the synthesizer: a real host and a virtual board, every act asked, no model; said and answered aloud."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

from tests.voice.recorder import RecordingDevice
from tests.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.agent.inbox import Inbox
from microclaw.app import running_host
from microclaw.auth.approvals import Approvals
from microclaw.config.load import load_settings
from microclaw.config.settings import AgentSettings, LinkSettings
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import VoiceParts
from microclaw.voice.session import VoiceSession
from microclaw.voice.trace import VoiceTraces

ORDERS = (
    "turn on pin 4",
    "dim pin 5 to 30 percent",
    "undo",
    "blink pin 2 every second",
    "turn on pin 6 everywhere",
    "undo",
)
MACHINE_WORDS = re.compile(r"[=_#]|change \d|duty|read back|answers:|\bd-|[a-z]\.[a-z]|\(")


async def test_questions_and_answers_are_spoken_as_a_person_would_say_them(tmp_path: Path) -> None:
    beeps, traces = Beeps(ms_a_char=1), VoiceTraces()
    made: list[VoiceParts] = []

    def make_voice(inbox: Inbox, approvals: Approvals) -> VoiceParts:
        ears = ScriptedRecognizer(*(Transcript(text) for order in ORDERS for text in (order, "yes")))
        limits = EndpointLimits(silence_ms=200)
        made.append(VoiceParts(inbox, approvals, ears, beeps, LoudnessDetector, traces, limits))
        return made[0]

    settings = load_settings({}, home=tmp_path, http_port=None)
    settings = replace(settings, agent=AgentSettings(approvals="always"), link=LinkSettings(port=0))
    device = RecordingDevice(name="virtual-1")
    asked: list[str] = []
    spoken: list[str] = []
    async with (
        asyncio.timeout(240),
        running_host(settings, make_voice=make_voice, virtual_boards=2),
        asyncio.TaskGroup() as tasks,
    ):
        approvals = made[0].approvals
        session = VoiceSession(device, made[0])
        running = tasks.create_task(session.run())
        for number in range(1, len(ORDERS) + 1):
            begun = len(beeps.said)
            _speak(session, 2 * number - 1)
            await device.until(lambda: beeps.said.count("Say yes or no.") > len(spoken))
            await device.until(lambda: device.log[-1] == ("show", "idle"))
            [pending] = approvals.pending()
            asked.append(pending.action)
            _speak(session, 2 * number)
            while len(traces.newest()) < 2 * number:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)
            spoken.append(" ".join(beeps.said[begun:]))
        session.left()
        await running
    assert asked[:3] == [
        "set pin 4 of virtual-1 high",
        "set PWM on pin 5 of virtual-1 to about 30 % (duty 76 of 255)",
        "undo: set PWM on pin 5 of virtual-1 to about 30 % (duty 76 of 255) (change 2), on virtual-1",
    ]
    assert spoken[0] == "Set pin 4 of virtual 1 high. Shall I? Say yes or no. Pin 4 of virtual 1 is on Checked."
    assert spoken[1].startswith("Set PWM on pin 5 of virtual 1 to about 30 percent. Shall I? Say yes or no. Pin 5 of")
    assert spoken[1].endswith("is at 30 percent, the board says so.")
    assert spoken[2].startswith("Undo: set PWM on pin 5 of virtual 1 to about 30 percent, on virtual 1. Shall I?")
    assert spoken[3].startswith("Put blink on virtual 1. Shall I? Say yes or no. ")
    assert asked[4] == "set pin 6 high on virtual-1 and virtual-2"
    assert spoken[4] == (
        "Set pin 6 high on virtual 1 and virtual 2. Shall I? Say yes or no. Done on both boards, checked: "
        "virtual 1, virtual 2."
    )
    assert "is low again" in spoken[5]
    assert [text for text in spoken if MACHINE_WORDS.search(text)] == []


def _speak(session: VoiceSession, stream: int) -> None:
    session.opened("button", stream)
    for frame in [LOUD] * 20 + [QUIET] * 40:
        session.hear(frame)
