"""Programs on a board at an address, without a host: built, checked and tried here, then sent. Keeps no record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from microclaw.apps.firmware_fit import DEFAULT_TIMERS, fit_limits
from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards.profile import BoardProfile
from microclaw.cli.call_commands import call_endpoint
from microclaw.cli.options import GlobalOptions
from microclaw.cli.trials import build_file, show_image, show_trial
from microclaw.devices.calls import AppEntry, AppInstall, AppList, AppUninstall
from microclaw.errors import TrialFailed
from microclaw.events import Step
from microclaw.wasm import BuildCache


def run_directly(
    options: GlobalOptions, target: str, file: Path, name: str, board: BoardProfile, optimization: str, heap_bytes: int
) -> None:
    """Build, check, try, install. The board's answer only says that it loaded the program, and so does this."""
    options.only_here(f"a program for {target}")
    board_id = board.board_id
    heap_bytes, timers = fit_limits(board, heap_bytes, DEFAULT_TIMERS)
    image = build_file(options.settings(), file, board, optimization)
    shows = not options.json and not options.quiet
    if shows:
        show_image(options.terminal(), image, optimization=optimization, heap_bytes=heap_bytes)
    trial_options, cache = TrialOptions(heap_bytes=heap_bytes, timers=timers), BuildCache(options.settings().cache)
    trial = asyncio.run(try_image(image, board, trial_options, cache=cache))
    if shows:
        show_trial(options.terminal(), trial)
    if not trial.ok:
        raise TrialFailed(trial.error or "the trial failed", next_step=trial.next_step)
    call_endpoint(target, board_id, AppInstall(name, image.wasm, heap_bytes, timers))
    listed = name in [entry.name for entry in _apps(target, board_id)]
    text = (
        f"{name} is on {target}: accepted{' and listed' if listed else ''} by the board, which counts no edges for us"
    )
    if shows:
        options.terminal().step(Step("deploy", text))
    document = {"name": name, "device": target, "sha256": image.sha256, "listed": listed, "trial": trial.to_json()}
    options.wrote_json("installed", document)


def list_directly(options: GlobalOptions, target: str, board_id: str) -> None:
    """The programs that a board lists."""
    options.only_here(f"a list of {target}")
    apps: list[dict[str, Any]] = [{"name": e.name, "heap_bytes": e.heap_bytes} for e in _apps(target, board_id)]
    if options.wrote_json("apps", {"apps": apps, "device": target}):
        return
    rows = [(app["name"], app["heap_bytes"]) for app in apps]
    options.table(rows, head=("NAME", "HEAP"), empty=f"no programs on {target}")


def uninstall_directly(options: GlobalOptions, target: str, name: str, board_id: str) -> None:
    """Take a program off a board."""
    options.only_here(f"a removal from {target}")
    call_endpoint(target, board_id, AppUninstall(name))
    options.report("removal", {"name": name, "device": target}, f"{name} is off {target}")


def _apps(target: str, board_id: str) -> tuple[AppEntry, ...]:
    entries: tuple[AppEntry, ...] = call_endpoint(target, board_id, AppList())
    return entries
