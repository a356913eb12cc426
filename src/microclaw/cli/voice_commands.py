"""`microclaw voice`: how voice stands, a test of its engines, and where the time of spoken turns went."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microclaw.cli.options import FAILED, GlobalOptions, command_group, global_options
from microclaw.cli.voice_setup import setup_voice
from microclaw.errors import NoHost
from microclaw.voice.engine_choice import MAX_TEST_CHARS
from microclaw.voice.engine_trial import TEST_SENTENCE

voice_group = command_group()


@voice_group.callback()
def voice() -> None:
    """Speech with devices (docs/voice.md)."""


@voice_group.command("test")
def check_engines(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="What is said and to be understood.")] = TEST_SENTENCE,
) -> None:
    """Speak a sentence and recognise it, without a device or a host; 1 when it was not understood."""
    options = global_options(ctx)
    if not 0 < len(text) <= MAX_TEST_CHARS:
        raise typer.BadParameter(f"TEXT has 1 to {MAX_TEST_CHARS} characters")
    found = _trial(options, text)
    is_same = _words(found["heard"]) == _words(text)
    lines = [
        f"said       {text}",
        f"heard      {found['heard'] or 'nothing'}   (confidence {found['confidence']})",
        f"speech     {found['speech_s']} s, its first audio after {found['first_audio_ms']} ms",
        f"heard in   {found['recognition_ms']} ms after its end",
    ]
    options.report("voice-test", {**found, "ok": is_same}, "\n".join(lines))
    if not is_same:
        raise typer.Exit(FAILED)


@voice_group.command("trace")
def trace(
    ctx: typer.Context,
    count: Annotated[int, typer.Option("-n", min=1, max=100, help="How many turns, the last ones.")] = 5,
) -> None:
    """Where the time of the last spoken turns went; neither text nor audio is kept."""
    options = global_options(ctx)
    found = options.host().get("/v1/voice")
    turns = found["turns"][-count:]
    if options.wrote_json("voice-trace", {"state": found["state"], "problem": found["problem"], "turns": turns}):
        return
    if found["state"] == "off":
        options.say(f"voice is off: {found['problem']}")
    elif not turns:
        options.say("nobody has spoken yet")
    for turn in turns:
        options.say(f"{turn['device']}  {turn['trigger']}  {turn['outcome']}, {turn['late_frames']} late frames")
        for step, at_ms in turn["steps"]:
            options.say(f"  {step:<16} {at_ms:>9,.0f} ms")


@voice_group.command("fetch-model")
def fetch(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="tiny.en, base.en or small.en.")] = "tiny.en",
) -> None:
    """Fetch a model for the engine whisper from the Hugging Face hub into the data folder; nothing else fetches one."""
    from microclaw.voice.engines.whisper_models import fetch_model

    options = global_options(ctx)
    options.only_here("fetch-model")
    settings = options.settings()
    told: dict[str, int] = {}

    def progress(file: str, there: int, all_of_it: int) -> None:
        tenth = 10 * there // max(1, all_of_it)
        if told.get(file) != tenth:
            told[file] = tenth
            options.say(f"  {file:<16} {there / 1e6:>7,.1f} of {all_of_it / 1e6:,.1f} MB")

    folder = fetch_model(name, settings.home, progress, proxy=settings.proxy)
    step = f"microclaw config set voice.asr 'whisper pocketsphinx'; microclaw config set voice.whisper_model {name}"
    if not options.wrote_json("voice-model", {"model": name, "folder": str(folder)}):
        options.say(f"{name} is in {folder}")
        options.say(f"next: {step}")


def _trial(options: GlobalOptions, text: str) -> dict[str, Any]:
    """Said and heard by the host's engines, or in this process where no host runs."""
    try:
        found: dict[str, Any] = options.host().post("/v1/voice/test", {"text": text})
    except NoHost:
        if options.address() is not None:  # of a host elsewhere
            raise
        from microclaw.cli.own_engines import own_trial

        found = own_trial(options.settings(), text)
    return found


voice_group.command("setup")(setup_voice)


def _words(text: str) -> list[Any]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
