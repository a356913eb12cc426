"""Hands on the parts of a virtual board: they set inputs and measured values, and do a part's verbs. No real board."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from msgspec import structs

from microclaw.devices.registry.device import Device
from microclaw.devices.transports.virtual_board import SCHEME, VirtualBoardTransport
from microclaw.errors import ConfigError, NotSupported
from microclaw.hardware.parts.reader import Stimulus as Verb
from microclaw.hardware.parts.wiring import WiredPart, Wiring, with_boot_button
from microclaw.host.operations.result import Result
from microclaw.programs.proof.expectation_values import VALUES
from microclaw.programs.proof.part_stimuli import settings_of
from microclaw.programs.proof.stimuli import PartSetting, PartStimulus
from microclaw.wire.board_control import SetSensor

MAX_HOLD_MS: Final = 600_000
MAX_TIMES: Final = 20
GAP_MS: Final = 200.0
"""Between two presses: longer than contacts bounce, and than programs wait for that."""
_NUMBER: Final = VALUES["NUMBER"][0]
_UNIT: Final = VALUES["UNIT"][0]
_SETTING: Final = re.compile(rf"(?:([^=\s]{{1,32}})\s*=\s*)?{_NUMBER}\s*{_UNIT}")


class MovedPart(Result, frozen=True, kw_only=True):
    """What hands did with a part: the values that it got, at which time of the board, and for how long."""

    document: ClassVar = "moved"

    device: str
    part: str
    values: dict[str, float]
    now_ms: float
    for_ms: float | None = None
    times: int = 1

    @property
    def text(self) -> str:
        """What the part has now, in a line."""
        values = ", ".join(f"{name} {number:g}" for name, number in self.values.items())
        if self.for_ms is None:
            return f"{self.part} of {self.device}: {values}"
        text = f"{self.part} of {self.device}: {values} for {self.for_ms:g} ms"
        if self.times == 1:
            return text
        return f"{text}, {self.times} times"


def no_hands_text(device: Device) -> str | None:
    """Return why this host cannot move the parts of a board; None for a virtual board whose control socket it opens."""
    if _find_control(device) is not None:
        return None
    if _is_elsewhere(device):
        return f"{device.name} is on the machine of the host {device.host}"
    return "the parts of a real board are moved by hand"


def board_control(device: Device) -> VirtualBoardTransport:
    """Return the control of a virtual board. Raises NotSupported for a board without hands."""
    control = _find_control(device)
    if control is not None:
        return control
    step = f"move it at {device.name} itself; a virtual board to try it on: microclaw up --virtual 1"
    if _is_elsewhere(device):
        step = "move its parts at that host"
    raise NotSupported(no_hands_text(device) or "", next_step=step)


def _is_elsewhere(device: Device) -> bool:
    """Return True for a virtual board whose control socket is on the machine of another host."""
    return any(endpoint.startswith(SCHEME) for endpoint in device.endpoints)


def _find_control(device: Device) -> VirtualBoardTransport | None:
    for transport in device.transports:
        if isinstance(transport, VirtualBoardTransport):
            return transport
    return None


async def set_values(
    device: Device, part_id: str, values: Mapping[str, float], settings: Sequence[str] = ()
) -> MovedPart:
    """Set values of a part now: `values` by their names, `settings` as "70 %" or "temperature=25".

    Raises NotSupported for a real board, ConfigError for a part that is not wired, and for a wrong name or number.
    """
    control = board_control(device)
    stimuli = []
    for name, number in values.items():
        stimuli.append(PartStimulus(part_id, 0.0, float(number), value=name))
    for text in settings:
        stimuli.append(_read_setting(part_id, text))
    if not stimuli:
        raise ConfigError("no value to set", next_step=f"give one: {_abilities(device, part_id)}")
    numbers: dict[str, float] = {}
    for stimulus in stimuli:
        for setting in _settings_of(device, stimulus):
            numbers.update(setting.values)
    done = await control.request(SetSensor(part_id, numbers))
    return MovedPart(device=device.name, part=part_id, values=numbers, now_ms=done.now_ms)


async def do_verb(
    device: Device,
    part_id: str,
    verb: str,
    argument: str | None = None,
    *,
    hold_ms: float | None = None,
    times: int = 1,
) -> MovedPart:
    """Do a verb of a part's [stimuli], as "press"; without a time it lasts as long as the part says.

    Several times: with GAP_MS between them. Raises NotSupported for a real board, ConfigError for a part that is not
    wired, for another verb or argument, and for several times of what does not end by itself.
    """
    control = board_control(device)
    stimulus = PartStimulus(
        part_id,
        0.0,
        _typed_argument(_wiring_of(device).find(part_id), verb, argument),
        verb=verb,
        hold_ms=hold_ms,
    )
    settings = _settings_of(device, stimulus)
    first = settings[0]
    held_ms = None
    if len(settings) > 1:
        held_ms = settings[-1].at_ms
    if held_ms is None and times > 1:
        raise ConfigError(f"{verb} does not end by itself", next_step="do it once")
    done = await control.request(SetSensor(part_id, first.values))
    for setting in _repeated(settings, times)[1:]:
        await control.request(SetSensor(part_id, setting.values, done.now_ms + setting.at_ms))
    return MovedPart(
        device=device.name,
        part=part_id,
        values=dict(first.values),
        now_ms=done.now_ms,
        for_ms=held_ms,
        times=times,
    )


def _repeated(settings: Sequence[PartSetting], times: int) -> list[PartSetting]:
    """Return the settings of a verb that is done several times, one after the other."""
    repeated = []
    for index in range(times):
        begin_ms = index * (settings[-1].at_ms + GAP_MS)
        for setting in settings:
            repeated.append(structs.replace(setting, at_ms=begin_ms + setting.at_ms))
    return repeated


def _wiring_of(device: Device) -> Wiring:
    """Return the parts that hands can reach, the board's own button too."""
    return with_boot_button(device.wiring, device.board)


def _settings_of(device: Device, stimulus: PartStimulus) -> list[PartSetting]:
    """Return the settings of a stimulus. Raises ConfigError, which names what the part has if it has not this."""
    wiring = _wiring_of(device)
    wired = wiring.find(stimulus.part)
    if wired is None:
        return settings_of(stimulus, wiring)
    if stimulus.verb is None:
        names = _settable_names(wired)
        if stimulus.value is None and len(names) != 1:
            raise ConfigError(f"{wired.id}: which value?", next_step=_abilities(device, wired.id))
        if stimulus.value is not None and stimulus.value not in names:
            text = f"{wired.id} has no value {stimulus.value[:40]!r} to set"
            raise ConfigError(text, next_step=_abilities(device, wired.id))
    elif stimulus.verb not in wired.facts.stimuli:
        raise ConfigError(f"{wired.id} has nothing to {stimulus.verb}", next_step=_abilities(device, wired.id))
    else:
        _check_verb(stimulus, wired.facts.stimuli[stimulus.verb])
    return settings_of(stimulus, wiring)


def _check_verb(stimulus: PartStimulus, verb: Verb) -> None:
    """Raise ConfigError for an argument or a time that the verb does not have, or that is missing."""
    begin = f"{stimulus.verb} {stimulus.part}"
    if verb.argument is None and stimulus.argument is not None:
        text = f"{begin} takes no {str(stimulus.argument)[:40]!r}"
        raise ConfigError(text, next_step="leave it out")
    if verb.argument is not None and stimulus.argument is None:
        raise ConfigError(f"{begin}: which {verb.argument}?", next_step=f"name the {verb.argument}")
    if verb.back is None and stimulus.hold_ms is not None:
        raise ConfigError(f"{begin} does not end by itself", next_step="leave the time out")


def _abilities(device: Device, part_id: str) -> str:
    """Return the values and the verbs of a part in a line."""
    wired = _wiring_of(device).find(part_id)
    if wired is None:
        return f"microclaw device wiring {device.name}"
    facts = wired.facts
    values = ", ".join(_settable_names(wired)) or "none"
    verbs = ", ".join(facts.stimuli) or "none"
    return f"{part_id} has the values: {values}; the verbs: {verbs}"


def _settable_names(wired: WiredPart) -> list[str]:
    """Return the names of the values of a part that hands can set."""
    facts = wired.facts
    return [name for name, allowed in {**facts.measures, **facts.inputs}.items() if not allowed.follows]


def _read_setting(part_id: str, text: str) -> PartStimulus:
    """Read "temperature=25 °C" or, for a part's only value, "70%". Raises ConfigError for anything else."""
    match = _SETTING.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text[:40]!r} is no value", next_step="write it as: 70%, or temperature=25")
    name, number, unit = match.groups()
    return PartStimulus(part_id, 0.0, float(number), value=name, unit=unit)


def _typed_argument(wired: WiredPart | None, verb: str, argument: str | None) -> float | str | None:
    """Return the argument of a verb as the verb takes it. Raises ConfigError for a text in place of a number."""
    if wired is None or argument is None:
        return argument
    stimulus = wired.facts.stimuli.get(verb)
    if stimulus is None or stimulus.argument != "number":
        return argument
    match = re.fullmatch(_NUMBER, argument)
    if match is None:
        raise ConfigError(f"{argument[:40]!r} is no number to {verb}", next_step="give a number, as in: 3")
    return float(argument)
