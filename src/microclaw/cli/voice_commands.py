"""`microclaw voice`: how voice stands, a test of its engines, and where the time of spoken turns went."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from microclaw.cli.options import FAILED, command_group, global_options

voice_group = command_group()
TEST_SENTENCE = "blink pin two every half second"


@voice_group.callback()
def voice() -> None:
    """Speech with devices (docs/voice.md)."""


@voice_group.command("test")
def check_engines(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="What is said and to be understood.")] = TEST_SENTENCE,
) -> None:
    """Speak a sentence and recognise it, without a device; 1 when it was not understood."""
    options = global_options(ctx)
    found = options.host().post("/v1/voice/test", {"text": text})
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


def _words(text: str) -> list[Any]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
