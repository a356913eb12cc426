"""A filled pattern as a deployment, and what is said of it afterwards. Chooses no pattern; deploys nothing itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from microclaw.errors import ConfigError
from microclaw.models.places import Place, board_of
from microclaw.models.reply import Act, Found, Say, Situation, ask, capital, failure
from microclaw.patterns.library import Value, fill

_PACE = re.compile(
    r"(?i)\b(?:(?:once )?(?:every|each)\b(?: [\w./-]+){0,5}? ?(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|"
    r"mins?|hours?|h)\b|(?:once|twice|thrice|[\w.]+ times) (?:a|per|every|each) \w+|[\d.]+ ?k?hz\b)"
)
_CONDITION = re.compile(r"(?i)\b(?:when|whenever|while|if|as long as|as soon as|every time|each time|once)\b")


def seconds(ms: int) -> str:
    """500 -> "0.5 s", 7_200_000 -> "2 h"."""
    if ms >= 3_600_000 and ms % 3_600_000 == 0:
        return f"{ms // 3_600_000} h"
    if ms >= 120_000 and ms % 60_000 == 0:
        return f"{ms // 60_000} min"
    return f"{ms / 1000:g} s"


def deploy(
    at: Situation,
    pattern: str,
    values: Mapping[str, Value],
    intent: str,
    plan: str,
    place: Place | None = None,
    app_name: str | None = None,
) -> Act:
    """The call that puts the filled pattern on the device; asks back when a value is not allowed."""
    board_of(at)
    try:
        program = fill(pattern, values)
    except ConfigError as exc:
        raise ask(exc.message, exc.next_step) from exc
    arguments = at.on_device(appName=app_name or _free_name(at, program.app_name, place), sourceCode=program.source)
    origin = f"{program.origin}   (a pattern: no model wrote this)"
    return Act("deploy-wasm-app", arguments, intent, plan, origin)


def _free_name(at: Situation, stem: str, place: Place | None) -> str:
    """The pattern's own name, with the pin added when that name already works on another pin."""
    apps = {app.name: app for app in at.device.apps} if at.device else {}
    taken = apps.get(stem)
    if place is None or taken is None or place.pin in taken.pins:
        return stem
    return f"{stem}-{place.pin}"


def for_ever(at: Situation, otherwise: str) -> str:
    """Why what was said becomes a program: its own words for how often."""
    said = _PACE.search(at.said)
    return f'"{said[0] if said else otherwise}" goes on for ever -> a program on the board'


def waiting(at: Situation) -> str:
    """Why what was said becomes a program: its own word for the condition."""
    said = _CONDITION.search(at.said)
    return f'"{(said[0] if said else "keep").lower()} ..." waits for something to happen -> a program on the board'


def told(found: Found, *, once: bool) -> Say:
    """The deployment's answer: never more than its evidence says."""
    if not found.ok:
        return failure(found)
    name, device = found.fields.get("appName", "the program"), found.device
    kind, proof = found.proof
    if kind == "accepted":
        return Say(
            f"{device} took {name}. The board offers no read-back, so whether it works cannot be seen from here."
        )
    if not found.fields.get("verified", False):
        return Say(f"{name} is on {device}, but not verified: {proof}.", "not_verified", f"stop {name}")
    runs = (
        f"{name} runs on {device}, ends by itself and stays loaded until: stop {name}"
        if once
        else f"{name} runs on {device} by itself"
    )
    return Say(f"{runs}. {capital(proof)}.")
