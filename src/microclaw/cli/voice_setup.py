"""`microclaw voice setup`: which speech engines work here, a sentence through each pair, their order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final, cast, get_args

import click
from click.exceptions import Exit
from msgspec import to_builtins

from microclaw.cli.options import FAILED, GlobalOptions, NobodyToAsk, command_group
from microclaw.config.edit import write_changes
from microclaw.config.forms import WHISPER_MODELS
from microclaw.config.load import private_home
from microclaw.config.settings import RecognizerName, Settings, SynthesizerName
from microclaw.config.show import DEFAULT, read_views, value_text
from microclaw.errors import ConfigError, VoiceError
from microclaw.voice.engine_choice import HOW_TO_INSTALL, PACKAGES, chosen_recognizer, chosen_synthesizer
from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.operations import TEST_SENTENCE, EngineState, try_engines

PREFERRED: Final = {"asr": ("wyoming",), "tts": ("wyoming",)}
"""These are first where they work: a person has set them up, and they are better than what is there by itself."""
AWAY: Final = frozenset({"openai"})
"""What is said leaves this machine: it is used where somebody has named it, and proposed to nobody."""
DOES: Final = {"asr": "hears", "tts": "speaks"}
TRIAL_S: Final = 60.0
NEXT: Final = (
    "a device with xiaozhi's firmware: docs/xiaozhi.md",
    "a board of yours with a microphone: docs/voice.md",
)
voice_group = command_group()


@voice_group.command("setup")
@click.option("--asr", multiple=True, metavar="ENGINE", help="Speech to text, in this order; else those that work.")
@click.option("--tts", multiple=True, metavar="ENGINE", help="Text to speech, in this order; else those that work.")
@click.option("--fetch", type=click.Choice(WHISPER_MODELS), help="Whisper's model from its hub.")
@click.pass_obj
def setup_voice(options: GlobalOptions, asr: tuple[str, ...], tts: tuple[str, ...], fetch: str | None) -> None:
    """Look which speech engines work here, try them with a sentence, set their order. With --yes it asks nothing."""
    options.only_here("voice setup")
    if options.json and not options.yes:
        raise NobodyToAsk("--json goes with --yes: nobody answers questions in a document", "the same with --yes")
    settings = options.settings()
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ConfigError(f"voice needs packages that are not here: {', '.join(missing)}", next_step=HOW_TO_INSTALL)
    if fetch is not None:
        from microclaw.voice.engines.whisper_models import fetch_model

        fetch_model(fetch, settings.home, options.say, proxy=settings.proxy)
        settings = replace(settings, voice=replace(settings.voice, whisper_model=fetch))
    states = asyncio.run(_states(settings))
    for state in states:
        options.say(f"{state.name:<13} {DOES[state.role]:<7} {state.problem or 'works'}")
    home = private_home(os.environ, options.home)
    origins = {view.key: view.origin for view in read_views(home, os.environ)}
    now = {"asr": settings.voice.asr, "tts": settings.voice.tts}
    chosen = {
        role: _chosen(role, given, states, now[role], is_own=origins.get(f"voice.{role}", DEFAULT) != DEFAULT)
        for role, given in (("asr", asr), ("tts", tts))
    }
    trials = asyncio.run(_trials(options, chosen, settings))
    if not any(one["ok"] for one in trials):
        options.wrote_json("voice-setup", {"engines": to_builtins(states), "trials": trials, "ok": False})
        options.say("nothing was written: no pair of engines understood its own sentence")
        raise Exit(FAILED)
    chosen = tried_order(chosen, trials)
    changes = {f"voice.{role}": value_text(names) for role, names in chosen.items() if names != tuple(now[role])}
    changes |= {} if fetch is None else {"voice.whisper_model": fetch}
    changes |= {} if settings.voice.enabled else {"voice.enabled": "true"}
    files: Sequence[str] = ()
    if changes:
        for key, value in changes.items():
            options.say(f"{key} = {value}")
        options.agree("Write this?", default=True)
        files = write_changes(home, os.environ, changes).files
    facts = {"engines": to_builtins(states), **chosen, "trials": trials, "changes": changes, "files": files, "ok": True}
    written = f"written: {', '.join(files)}; the host reads it when it starts" if files else "nothing to change"
    options.report("voice-setup", facts, "\n".join((written, *(f"next: {line}" for line in NEXT))))


def _chosen(
    role: str, given: Sequence[str], states: Sequence[EngineState], now: Sequence[str], *, is_own: bool
) -> tuple[str, ...]:
    """The engines of this role in their order. Raises ConfigError for one that does not work, or when none does."""
    problems = {state.name: state.problem for state in states if state.role == role}
    for name in given:
        if name not in problems:
            raise ConfigError(f"there is no engine {name[:40]!r} that {DOES[role]}", next_step=" ".join(problems))
        if (problem := problems[name]) is not None:
            raise ConfigError(f"{name} does not work: {problem}", next_step="docs/voice-engines.md")
    if not (names := given or proposed_order(role, problems, now, is_own=is_own)):
        first = next(iter(problems.values()))
        raise ConfigError(f"nothing here {DOES[role]}: {first}", next_step="docs/voice-engines.md")
    return tuple(dict.fromkeys(names))


def proposed_order(
    role: str, problems: Mapping[str, str | None], now: Sequence[str], *, is_own: bool
) -> tuple[str, ...]:
    """Those that work: first what the person's own settings name, then the better ones, then the others."""
    first = (*now, *PREFERRED[role]) if is_own else (*PREFERRED[role], *now)
    others = (name for name in problems if name not in AWAY)
    return tuple(name for name in dict.fromkeys((*first, *others)) if problems.get(name, "unknown") is None)


def tried_order(chosen: Mapping[str, Sequence[str]], trials: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The engines that spoke or heard, those that were understood first."""
    found: dict[str, tuple[str, ...]] = {}
    for role, names in chosen.items():
        pairs = {name: [one for one in trials if one[role] == name] for name in names}
        alive = [name for name in names if any(one["problem"] is None for one in pairs[name])]
        found[role] = tuple(sorted(alive, key=lambda name: not any(one["ok"] for one in pairs[name])))
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
    if role == "tts":
        voice = replace(settings.voice, tts=(cast(SynthesizerName, name),))
        return chosen_synthesizer(voice, proxy=settings.proxy)
    voice = replace(settings.voice, asr=(cast(RecognizerName, name),))
    return chosen_recognizer(voice, tuple, settings.home, proxy=settings.proxy)


async def _trials(options: GlobalOptions, chosen: Mapping[str, Sequence[str]], settings: Settings) -> list[Any]:
    """Each synthesizer with each recognizer, one after another, as the document has them; shown as they come."""
    found: list[dict[str, Any]] = []
    for asr in chosen["asr"]:
        recognizer = cast(Recognizer, _engine("asr", asr, settings))
        try:
            for tts in chosen["tts"]:
                found.append(made := {"tts": tts, "asr": asr, **await _trial(tts, recognizer, settings)})
                options.say(f"{tts} says, {asr} hears: {_verdict(made)}")
        finally:
            await recognizer.close()
    return found


async def _trial(tts: str, recognizer: Recognizer, settings: Settings) -> dict[str, Any]:
    synthesizer = cast(Synthesizer, _engine("tts", tts, settings))
    try:
        async with asyncio.timeout(TRIAL_S):
            return {"problem": None, **to_builtins(await try_engines(synthesizer, recognizer, TEST_SENTENCE))}
    except VoiceError as exc:
        return {"problem": exc.message, "ok": False}
    except TimeoutError:
        return {"problem": f"it took more than {TRIAL_S:g} s", "ok": False}
    finally:
        await synthesizer.close()


def _verdict(one: Mapping[str, Any]) -> str:
    if one["problem"] is not None:
        return f"failed: {one['problem']}"
    if one["ok"]:
        return f"understood; first audio {one['first_audio_ms']} ms, heard {one['recognition_ms']} ms after its end"
    return f"said {one['said']!r}, heard {one['heard'] or 'nothing'!r}"
