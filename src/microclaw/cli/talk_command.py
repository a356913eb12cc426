"""`microclaw voice talk`: this machine's microphone and speaker, or WAV files, speak with the host that runs here."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from microclaw.boards.voice import VOICE_BOARD
from microclaw.cli.interrupts import on_interrupt
from microclaw.cli.joining import LINK_FOLDER, check_voice, join_host
from microclaw.cli.options import FAILED, GlobalOptions, global_options
from microclaw.devices.entry import check_name
from microclaw.errors import ConfigError, DeviceTimeout, DeviceUnreachable
from microclaw.link_client.identity import CREDENTIAL_FILE, LinkAddress
from microclaw.link_client.speech import RATE_HZ
from microclaw.terminal.page import Terminal
from microclaw.voice.endpointing import has_speech
from microclaw.voice.engines.engine import VoiceDetector
from microclaw.voice.engines.wav import wav_of
from microclaw.voice.talk.conversation import Conversation, News, TalkTurn
from microclaw.voice.talk.sound_card import SoundCard, sound_devices
from microclaw.voice.talk.speaker import SpeakerBuffer
from microclaw.voice.talk.wav_sound import WavSound, read_speech

NAME: Final = "this-machine"
LOOK_EVERY_S: Final = 0.05
PATIENCE_S: Final = 120.0
"""How long an answer to a WAV file may take."""
AWAY_S: Final = 30.0
"""How long the host may be away in a conversation, for a restart."""


def talk(
    ctx: typer.Context,
    hands_free: Annotated[
        bool, typer.Option("--hands-free", help="No keys: the host hears when you are done, and listens again.")
    ] = False,
    headphones: Annotated[
        bool, typer.Option("--headphones", help="Your speaker is not heard by your microphone: speak to interrupt.")
    ] = False,
    microphone: Annotated[
        str | None, typer.Option("--input", metavar="NAME", help="The microphone: a part of its name, or its number.")
    ] = None,
    speaker: Annotated[str | None, typer.Option("--output", metavar="NAME", help="The speaker, likewise.")] = None,
    show_devices: Annotated[bool, typer.Option("--list", help="List microphones and speakers.")] = False,
    wav: Annotated[
        list[Path] | None,
        typer.Option("--wav", metavar="FILE", help="Say this file in place of a microphone; may be repeated."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="With --wav: write what the host says as a WAV.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What this machine is called as a device.")] = NAME,
) -> None:
    """Speak with the host from this machine; Ctrl-C ends what is being said, then the conversation.

    Enter begins an utterance, and ends it where you are quicker than the silence after it."""
    options = global_options(ctx)
    options.only_here("voice talk")
    if show_devices:
        _list_devices(options)
        return
    if save is not None and not wav:
        raise typer.BadParameter("--save goes with --wav")
    if options.json and not wav:
        raise typer.BadParameter("--json goes with --wav or --list: a conversation has no one document")
    if wav and (hands_free or headphones or microphone or speaker):
        raise typer.BadParameter("--wav is in the place of a sound card: leave the other options out")
    check_name(name)
    if save is not None:
        _check_writable(save)
    said = [read_speech(path) for path in wav or ()]
    card = None if wav else SoundCard(microphone, speaker)  # what is missing here is told before the host is asked
    detector = _detector(is_needed=headphones) if hands_free or wav else None
    check_voice(options.host())
    folder, address = _joined(options, name)
    if card is None:
        _say_files(options, folder, address, wav or [], said, save, detector)
        return
    buffer = SpeakerBuffer(card.output_hz)
    with Conversation(folder, address, buffer, new_detector=detector, interrupts=headphones) as conversation:
        gone = lambda: conversation.tell(News("gone"))  # noqa: E731
        with card.opened(buffer, conversation.heard_frame, gone), _keys(conversation):
            terminal = options.terminal()
            terminal.row("hears", card.input_name)
            terminal.row("speaks", card.output_name)
            _converse(conversation, terminal, hands_free=hands_free)


def _converse(conversation: Conversation, terminal: Terminal, *, hands_free: bool) -> None:
    """Until Ctrl-C, or the end of the keyboard's input where Enter is needed."""
    how = "speak" if hands_free else "Enter, then speak; Ctrl-C ends it"
    terminal.row("ready", how)
    away_s: float | None = None
    while True:
        if (
            (away_s := _away_since_s(conversation, terminal, away_s)) is None
            and hands_free
            and conversation.is_turn_over
        ):
            conversation.listen("vad")
        match conversation.next_news(LOOK_EVERY_S):
            case News("enter"):
                if conversation.is_listening:
                    conversation.stop("released")
                elif conversation.device.is_connected:
                    conversation.listen("button")
            case News("ended") if not hands_free:
                _until_over(conversation, terminal)
                return
            case News("interrupt"):
                if not conversation.is_speaking:
                    terminal.line()
                    return
                conversation.interrupt()
                terminal.row("quiet", "Ctrl-C once more ends it")
            case News("gone"):
                raise ConfigError("the sound card is gone", next_step="microclaw voice talk --list")
            case News() as news:
                _show(terminal, news)
            case None:
                pass


def _away_since_s(conversation: Conversation, terminal: Terminal, away_s: float | None) -> float | None:
    """Since when the host is away; it may be starting again. Raises DeviceUnreachable after AWAY_S."""
    if conversation.device.is_connected:
        if away_s is not None:
            terminal.row("link", "the host is back")
        return None
    if away_s is None:
        terminal.row("link", "the host is away", bad=True)
        conversation.disconnected()
        return time.monotonic()
    if time.monotonic() - away_s > AWAY_S:
        why = conversation.device.state.error or "it does not answer"
        raise DeviceUnreachable(f"the host is gone: {why}", next_step="microclaw up")
    return away_s


def _until_over(conversation: Conversation, terminal: Terminal) -> None:
    """What was said last is answered and heard to its end."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not conversation.is_turn_over:
        if time.monotonic() > give_up_s:
            raise DeviceTimeout(
                f"no answer within {PATIENCE_S:g} s", next_step="microclaw logs says what the host does"
            )
        if not conversation.device.is_connected:
            raise DeviceUnreachable("the host has gone away", next_step="microclaw status")
        if (news := conversation.next_news(LOOK_EVERY_S)) is None:
            continue
        if news.kind == "interrupt":
            raise KeyboardInterrupt
        _show(terminal, news)


def _show(terminal: Terminal, news: News) -> None:
    match news.kind:
        case "heard":
            terminal.row("you", news.text or "(nothing was understood)", bad=not news.text)
        case "said":
            terminal.row("answer", news.text)
        case "note":
            terminal.row("note", news.text)
        case "partial":
            terminal.passing("you", f"{news.text} ...")
        case "listening" | "thinking" | "speaking":
            terminal.passing("", f"({news.kind})")
        case _:
            pass


# WAV files


def _say_files(
    options: GlobalOptions,
    folder: Path,
    address: LinkAddress,
    files: Sequence[Path],
    said: Sequence[bytes],
    save: Path | None,
    detector: Callable[[], VoiceDetector] | None,
) -> None:
    """What follows a pause in a file is another turn of it."""
    speaker = SpeakerBuffer()
    terminal = options.terminal()
    spoken: list[list[TalkTurn]] = []
    with (
        Conversation(folder, address, speaker, new_detector=detector, interrupts=True) as conversation,
        _interruptible(conversation),
        WavSound(speaker, conversation.heard_frame) as sound,
    ):
        for pcm in said:
            conversation.turns.clear()
            conversation.listen("button")
            sound.utter(pcm)
            _until_over(conversation, terminal)
            while detector is not None and has_speech(sound.left, detector()):
                conversation.listen("button")
                _until_over(conversation, terminal)
            spoken.append(list(conversation.turns))
        played = bytes(sound.played)
    if save is not None:
        _save(save, played)
    is_ok = all(turns[-1].said and all(turn.heard for turn in turns) for turns in spoken)
    document = {
        "host": address.url,
        "turns": [
            {"file": str(file), "heard": turn.heard or "", "said": list(turn.said)}
            for file, turns in zip(files, spoken, strict=True)
            for turn in turns
        ],
        "played_s": round(len(played) / (2 * RATE_HZ), 2),
        "gaps": speaker.gaps,
        "saved": None if save is None else str(save),
        "ok": is_ok,
    }
    options.wrote_json("voice-talk", document)
    if not is_ok:
        raise typer.Exit(FAILED)


def _check_writable(path: Path) -> None:
    """Before anybody speaks: ConfigError for a file that could not be written when the answer has come."""
    step = "choose another --save FILE"
    if path.is_dir():
        raise ConfigError(f"--save {path} is a folder", next_step=step)
    if not path.parent.is_dir():
        raise ConfigError(f"--save {path}: there is no folder {path.parent}", next_step=f"mkdir -p {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--save {path} cannot be written", next_step=step)


def _save(path: Path, pcm: bytes) -> None:
    try:
        path.write_bytes(wav_of(pcm, RATE_HZ))
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}", next_step="choose another --save FILE") from exc


# The host and this machine


def _list_devices(options: GlobalOptions) -> None:
    found = sound_devices()
    rows = [
        (
            each.number,
            each.name,
            each.system,
            "default" if each.is_default_input else "yes" if each.inputs else "-",
            "default" if each.is_default_output else "yes" if each.outputs else "-",
        )
        for each in found
    ]
    if not options.wrote_json("sound-devices", {"devices": [_device_object(each) for each in found]}):
        options.table(
            rows, head=("number", "name", "system", "microphone", "speaker"), empty="this machine has no sound card"
        )


def _device_object(each: Any) -> dict[str, Any]:
    return {
        "number": each.number,
        "name": each.name,
        "system": each.system,
        "inputs": each.inputs,
        "outputs": each.outputs,
        "default_input": each.is_default_input,
        "default_output": each.is_default_output,
    }


def _joined(options: GlobalOptions, name: str) -> tuple[Path, LinkAddress]:
    folder = options.settings().home / "talk" / name
    link = folder / LINK_FOLDER
    if link.is_dir() and not (link / CREDENTIAL_FILE).exists():
        for path in link.iterdir():  # it was ended while it paired: begin anew
            path.unlink()
        link.rmdir()
    again = f"microclaw voice talk --name {name}-2"
    if not link.is_dir():
        options.terminal().row("device", f"this machine joins the host as {name}")
    host = join_host(options, name, VOICE_BOARD.board_id, folder, is_ours=True, again=again)
    return folder, LinkAddress(host.url, host.ca_sha256, host.secret)


def _detector(*, is_needed: bool) -> Callable[[], VoiceDetector] | None:
    """Without it what follows a pause is not heard before the answer; None where that is missing."""
    try:
        from microclaw.voice.engines.webrtc_vad import WebrtcVoiceDetector
    except ImportError as exc:
        if not is_needed:
            return None
        raise ConfigError("--headphones needs the package webrtcvad", next_step="make voice") from exc
    return WebrtcVoiceDetector


@contextmanager
def _keys(conversation: Conversation) -> Iterator[None]:
    """Enter and Ctrl-C become news."""

    def read() -> None:
        for _ in sys.stdin:
            conversation.tell(News("enter"))
        conversation.tell(News("ended"))

    threading.Thread(target=read, name="keys", daemon=True).start()
    with _interruptible(conversation):
        yield


def _interruptible(conversation: Conversation) -> AbstractContextManager[None]:
    return on_interrupt(lambda: conversation.tell(News("interrupt")))
