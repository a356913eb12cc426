"""`microclaw voice`: what is done on this machine. The acts of the host are in voice/operations.py."""

from __future__ import annotations

from typing import Annotated

import typer

from microclaw.cli.options import command_group, global_options
from microclaw.cli.voice_setup import setup_voice

voice_group = command_group()
voice_group.command("setup")(setup_voice)


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
