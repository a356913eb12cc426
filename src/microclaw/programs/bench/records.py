"""What this host's own records say of a board: orders, the programs that it wants there, their trials, readings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from microclaw.conversion import decode_json
from microclaw.devices.link.device_facts import LastValues
from microclaw.devices.registry.calls import AppState
from microclaw.devices.registry.device import Device
from microclaw.hardware.parts.reader import quantities
from microclaw.hardware.parts.wiring import WiredPart
from microclaw.programs.bench.states import KnownNumber, TrialView
from microclaw.programs.board_list import ask_states, find_by_name
from microclaw.programs.changes.change_log import ChangeLog, DesiredApp
from microclaw.programs.changes.claims import read_pins
from microclaw.programs.changes.direct_io import DirectIo, PinOrder
from microclaw.programs.proof.last_states import LastStates

_AS_IN_THE_TRIAL: Final = frozenset({"running", "waiting", "returned", "exited"})
READING_OLD_MS: Final = 600_000
"""A reading that is older says nothing of now."""


class HostRecords(Struct, frozen=True):
    """The places where this host has something about boards."""

    change_log: ChangeLog
    direct_io: DirectIo
    last: LastValues


class TrialStates(Struct, frozen=True):
    """What the trial of a program showed last, and when it was made, in Unix time."""

    states: LastStates
    at_ms: int

    def view(self, wired: WiredPart) -> TrialView | None:
        """Return the picture or the colors that a part showed last, or None."""
        states = self.states
        screen = states.screens.get(wired.id)
        if screen is not None:
            return TrialView(self.at_ms, screen=screen, text=states.texts.get(wired.id))
        for pin in wired.pins.values():
            colors = states.colors.get(str(pin))
            if colors is not None:
                return TrialView(self.at_ms, colors=colors)
        return None


class _StoredTrial(Struct, frozen=True):
    """How a program ended in its trial; None in a proof of a former version."""

    ended: str | None = None


class _StoredProof(Struct, frozen=True):
    """The part of a program's stored proof that is needed here."""

    trial: _StoredTrial = _StoredTrial()
    parts: LastStates = LastStates()


class BoardRecord(Struct, frozen=True):
    """The records of one board: the orders and the programs by the pins, the trials of programs, the newest first.

    `inputs` are the pins that programs read and none drives.
    """

    orders: Mapping[int, PinOrder] = {}
    programs: Mapping[int, str] = {}
    inputs: Collection[int] = ()
    trials: tuple[TrialStates, ...] = ()

    def trial_number(self, wired: WiredPart, name: str) -> KnownNumber | None:
        """Return the value that a part showed last in the trial of a program that the board has, or None."""
        for trial in self.trials:
            value = trial.states.values.get(wired.id, {}).get(name)
            if value is not None:
                return KnownNumber(value, "trial", trial.at_ms)
        return None

    def trial_view(self, wired: WiredPart) -> TrialView | None:
        """Return the picture or the colors that a part showed last in a trial, or None."""
        for trial in self.trials:
            view = trial.view(wired)
            if view is not None:
                return view
        return None


async def read_record(records: HostRecords, device: Device) -> BoardRecord:
    """Return what is recorded of a board. Raises MicroclawError if it does not answer what is needed for that."""
    apps = await records.change_log.desired(device.device_id)
    states = await ask_states(device, wait=False)
    return BoardRecord(
        orders=await records.direct_io.present_orders(device),
        programs=_programs_by_pin(apps),
        inputs=read_pins(apps),
        trials=await _trials(records, device, apps, states),
    )


def follows_trial(app: DesiredApp, states: Sequence[AppState] | None, tried_end: str | None) -> bool:
    """Return True if a program runs on the board, or ended there by itself: what its trial showed holds there, too.

    A program that waits for the board or for its first run, failed, was stopped or was lost has not done it, nor has
    one of the same name with other bytes, nor one that exited although its trial did not (`tried_end`). `states` is
    None if the board does not report them: then only what the host knows counts.
    """
    if app.waits:
        return False
    if states is None:
        return True
    state = find_by_name(states, app.name)
    if state is None or state.has_failed or state.state not in _AS_IN_THE_TRIAL:
        return False
    if state.last_end == "exited" and tried_end != "exited":
        return False
    has_not_run = state.runs is not None and state.runs.runs == 0
    return not has_not_run and state.sha256 in (None, app.version.sha256)


def read_numbers(records: HostRecords, device: Device, wired: WiredPart) -> dict[str, KnownNumber]:
    """Return what a sensor measured last, by the names of the quantities; old readings are left out."""
    oldest_ms = records.change_log.now_ms() - READING_OLD_MS
    values = {value.key: value for value in records.last.of(device.device_id)}
    numbers = {}
    for name in wired.facts.measures:
        value = values.get(f"{wired.id}/{quantities()[name].reading}")
        if value is not None and value.at_ms >= oldest_ms:
            numbers[name] = KnownNumber(value.value, "reported", value.at_ms)
    return numbers


def _programs_by_pin(apps: Sequence[DesiredApp]) -> dict[int, str]:
    """Return the program that has each pin; one that drives it before one that reads it."""
    programs: dict[int, str] = {}
    for app in apps:
        for pin in (*app.claims.uses, *app.claims.reads):
            programs.setdefault(pin, app.name)
    for app in apps:
        for pin in app.pins:
            programs[pin] = app.name
    return programs


async def _trials(
    records: HostRecords, device: Device, apps: Sequence[DesiredApp], states: Sequence[AppState] | None
) -> tuple[TrialStates, ...]:
    """Return what the trials showed that the board's programs follow."""
    trials = []
    for app in sorted(apps, key=lambda app: app.since_ms, reverse=True):
        row = await records.change_log.proof(device.device_id, app.sha256)
        if row is None:
            continue
        try:
            proof = decode_json(row.document, _StoredProof)
        except msgspec.MsgspecError:
            # Another version kept it in another form.
            continue
        if follows_trial(app, states, proof.trial.ended):
            trials.append(TrialStates(proof.parts, row.at_ms))
    return tuple(trials)
