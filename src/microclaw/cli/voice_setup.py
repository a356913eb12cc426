"""`microclaw voice setup`: which speech engines work here, a sentence through each pair, their order."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Final, cast, get_args

import click
import msgspec
from click.exceptions import Exit

from microclaw.cli.options import FAILED, GlobalOptions, NobodyToAsk, command_group
from microclaw.config.edit import write_changes
from microclaw.config.load import private_home
from microclaw.config.settings import RecognizerName, Settings, SynthesizerName
from microclaw.config.show import DEFAULT, read_views, value_text
from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engine_choice import HOW_TO_INSTALL, PACKAGES, chosen_recognizer, chosen_synthesizer
from microclaw.voice.engine_trial import try_engines
from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.operations import TEST_SENTENCE, EngineState, EngineTrial

PREFERRED: Final = {"asr": ("wyoming",), "tts": ("piper", "wyoming")}
"""These are first where they work: a person has set them up, and they are better than what is there by itself."""
AWAY: Final = frozenset({"openai"})
"""What is said leaves this machine: it is used where somebody has named it, and proposed to nobody."""
DOES: Final = {"asr": "hears", "tts": "speaks"}
TRIAL_S: Final = 60.0
NEXT: Final = (
    "a device with xiaozhi's firmware: microclaw device add --xiaozhi",
    "a board of yours with a microphone: docs/voice.md",
)


@dataclass(frozen=True, slots=True)
class PairTrial:
    """`trial` is None where an engine failed; `problem` says why then."""

    tts: str
    asr: str
    trial: EngineTrial | None
    problem: str | None

    @property
    def is_ok(self) -> bool:
        return self.trial is not None and self.trial.ok


voice_group = command_group()


@voice_group.command("setup")
@click.option("--asr", multiple=True, metavar="ENGINE", help="Speech to text; may be repeated, in order.")
@click.option("--tts", multiple=True, metavar="ENGINE", help="Text to speech; may be repeated, in order.")
@click.option("--fetch", metavar="NAME", help="Whisper's model from its hub: tiny.en, base.en or small.en.")
@click.pass_obj
def setup_voice(options: GlobalOptions, asr: tuple[str, ...], tts: tuple[str, ...], fetch: str | None) -> None:
    """Look which speech engines work here, try them with a sentence, set their order. With --yes it asks nothing."""
    options.only_here("voice setup")
    if options.json and not options.yes:
        raise NobodyToAsk("--json goes with --yes: nobody answers questions in a document", "the same with --yes")
    settings = options.settings()
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"voice needs packages that are not here: {', '.join(missing)}", next_step=HOW_TO_INSTALL)
    if fetch is not None:
        from microclaw.voice.engines.whisper_models import fetch_model

        options.say(f"fetching {fetch}")
        fetch_model(fetch, settings.home, lambda *_: None, proxy=settings.proxy)
        settings = replace(settings, voice=replace(settings.voice, whisper_model=fetch))
    states = asyncio.run(_states(settings))
    for state in states:
        options.say(f"{state.name:<13} {DOES[state.role]:<7} {state.problem or 'works'}")
    home = private_home(os.environ, options.home)
    origins = {view.key: view.origin for view in read_views(home, os.environ)}
    chosen = {
        role: _chosen(options, role, given, states, current, is_own=origins.get(f"voice.{role}", DEFAULT) != DEFAULT)
        for role, given, current in (("asr", asr, settings.voice.asr), ("tts", tts, settings.voice.tts))
    }
    trials = asyncio.run(_trials(chosen["asr"], chosen["tts"], settings))
    for one in trials:
        options.say(f"{one.tts} says, {one.asr} hears: {_verdict(one)}")
    chosen = tried_order(chosen, trials)
    is_ok = any(one.is_ok for one in trials)
    wanted = {"voice.asr": (chosen["asr"], settings.voice.asr), "voice.tts": (chosen["tts"], settings.voice.tts)}
    changes = {key: value_text(new) for key, (new, old) in wanted.items() if new != tuple(old)}
    if fetch is not None:
        changes["voice.whisper_model"] = fetch
    if not settings.voice.enabled:
        changes["voice.enabled"] = "true"
    files: Sequence[str] = ()
    if changes and is_ok:
        for key, value in changes.items():
            options.say(f"{key} = {value}")
        options.agree("Write this?", default=True)
        files = write_changes(home, os.environ, changes).files
    _report(options, states, chosen, trials, changes if files else {}, files)
    if not is_ok:
        sys.stderr.write("nothing was written: no pair of engines understood its own sentence\n")
        raise Exit(FAILED)


def _chosen(
    options: GlobalOptions,
    role: str,
    given: Sequence[str] | None,
    states: Sequence[EngineState],
    current: Sequence[str],
    *,
    is_own: bool,
) -> tuple[str, ...]:
    """The engines of this role in their order. Raises ConfigError for one that does not work, or when none does."""
    problems = {state.name: state.problem for state in states if state.role == role}
    proposed = proposed_order(role, problems, current, is_own=is_own)
    names = tuple(given or ())
    if not names:
        if not proposed:
            first = next(iter(problems.values()))
            raise ConfigError(f"nothing here {DOES[role]}: {first}", next_step="docs/voice-engines.md")
        names = proposed
        if not options.yes and sys.stdin.isatty():
            names = tuple(str(click.prompt(f"What {DOES[role]}, in order", default=" ".join(proposed))).split())
    for name in names:
        if name not in problems:
            raise ConfigError(f"there is no engine {name[:40]!r} that {DOES[role]}", next_step=" ".join(problems))
        if (problem := problems[name]) is not None:
            raise ConfigError(f"{name} does not work: {problem}", next_step="docs/voice-engines.md")
    return tuple(dict.fromkeys(names))


def proposed_order(
    role: str, problems: dict[str, str | None], current: Sequence[str], *, is_own: bool
) -> tuple[str, ...]:
    """Those that work: first what the person's own settings name, then the better ones, then the others."""
    first = (*current, *PREFERRED[role]) if is_own else (*PREFERRED[role], *current)
    others = (name for name in problems if name not in AWAY)
    return tuple(name for name in dict.fromkeys((*first, *others)) if problems.get(name, "unknown") is None)


def tried_order(chosen: Mapping[str, Sequence[str]], trials: Sequence[PairTrial]) -> dict[str, tuple[str, ...]]:
    """The engines that spoke or heard, those that were understood first. Where none did, the choice stays."""
    found: dict[str, tuple[str, ...]] = {}
    for role, names in chosen.items():
        pairs = {name: [one for one in trials if name == (one.asr if role == "asr" else one.tts)] for name in names}
        alive = [name for name in names if any(one.trial is not None for one in pairs[name])]
        found[role] = tuple(sorted(alive, key=lambda name: not any(one.is_ok for one in pairs[name])) or names)
    return found


async def _states(settings: Settings) -> list[EngineState]:
    found: list[EngineState] = []
    for role, names in (("asr", get_args(RecognizerName)), ("tts", get_args(SynthesizerName))):
        for name in names:
            try:
                engine = _engine(role, name, settings)
            except ConfigError as exc:
                found.append(EngineState(role, name, f"{exc.message} (next: {exc.next_step})"))
                continue
            try:
                found.append(EngineState(role, name, await engine.health()))
            finally:
                await engine.close()
    return found


def _engine(role: str, name: str, settings: Settings) -> Recognizer | Synthesizer:
    return _recognizer(name, settings) if role == "asr" else _synthesizer(name, settings)


def _recognizer(name: str, settings: Settings) -> Recognizer:
    from microclaw.voice.engines.command_grammar import SpokenNames

    voice = replace(settings.voice, asr=(cast(RecognizerName, name),))
    return chosen_recognizer(voice, SpokenNames, settings.home, proxy=settings.proxy)


def _synthesizer(name: str, settings: Settings) -> Synthesizer:
    return chosen_synthesizer(replace(settings.voice, tts=(cast(SynthesizerName, name),)), proxy=settings.proxy)


async def _trials(recognizers: Sequence[str], synthesizers: Sequence[str], settings: Settings) -> list[PairTrial]:
    """Each synthesizer with each recognizer, one after another."""
    found: list[PairTrial] = []
    for asr in recognizers:
        recognizer = _recognizer(asr, settings)
        try:
            found.extend([await _trial(tts, asr, recognizer, settings) for tts in synthesizers])
        finally:
            await recognizer.close()
    return found


async def _trial(tts: str, asr: str, recognizer: Recognizer, settings: Settings) -> PairTrial:
    synthesizer = _synthesizer(tts, settings)
    try:
        async with asyncio.timeout(TRIAL_S):
            return PairTrial(tts, asr, await try_engines(synthesizer, recognizer, TEST_SENTENCE), None)
    except VoiceError as exc:
        return PairTrial(tts, asr, None, exc.message)
    except TimeoutError:
        return PairTrial(tts, asr, None, f"it took more than {TRIAL_S:g} s")
    finally:
        await synthesizer.close()


def _verdict(one: PairTrial) -> str:
    if one.trial is None:
        return f"failed: {one.problem}"
    if one.is_ok:
        return (
            f"understood; first audio {one.trial.first_audio_ms} ms, heard {one.trial.recognition_ms} ms after its end"
        )
    return f"said {one.trial.said!r}, heard {one.trial.heard or 'nothing'!r}"


def _report(
    options: GlobalOptions,
    states: Sequence[EngineState],
    chosen: dict[str, tuple[str, ...]],
    trials: Sequence[PairTrial],
    changes: dict[str, str],
    files: Sequence[str],
) -> None:
    is_ok = any(one.is_ok for one in trials)
    document: dict[str, Any] = {
        "engines": msgspec.to_builtins(states),
        "asr": list(chosen["asr"]),
        "tts": list(chosen["tts"]),
        "trials": [
            {"tts": one.tts, "asr": one.asr, "ok": one.is_ok, "problem": one.problem}
            | ({} if one.trial is None else msgspec.to_builtins(one.trial))
            for one in trials
        ],
        "changes": changes,
        "files": list(files),
        "next": list(NEXT) if is_ok else [],
        "ok": is_ok,
    }
    if options.wrote_json("voice-setup", document) or not is_ok:
        return
    options.say(f"written: {', '.join(files)}; the host reads it when it starts" if files else "nothing to change")
    for line in NEXT:
        options.say(f"next: {line}")
