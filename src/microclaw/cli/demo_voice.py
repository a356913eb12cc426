"""`microclaw demo --voice`: a sentence said into a virtual board's microphone blinks its pin and is answered."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Final

from microclaw.cli.board_control import BoardControl
from microclaw.cli.child import Child
from microclaw.cli.demo import BOARD, DEVICE, EDGES, PATIENCE_S, PIN, DemoFailed, Stage, watch_pin
from microclaw.cli.joining import check_voice
from microclaw.client import Client
from microclaw.link_client.speech import RATE_HZ
from microclaw.voice.engines.wav import wav_of
from microclaw.wire import board_control as control
from microclaw.wire.board_replies import SpeakerState

SPOKEN: Final = "blink pin two every half second"
LINK_S: Final = 20.0
ANSWER_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1


def run_voice_demo(stage: Stage) -> int:
    terminal = stage.terminal
    with ExitStack() as running:
        host = stage.start_host(running, "--link", "127.0.0.1:0")
        _, took_s = host.wait_ready()
        client = stage.client()
        voice = check_voice(client)
        terminal.row("host", f"ready in {took_s:.1f} s   hears with {voice['asr']}, speaks with {voice['tts']}")
        _start_board(stage, running, client)
        board = running.enter_context(BoardControl(stage.home / "board.sock"))
        _until_linked(board)
        terminal.row("board", f"{DEVICE} is linked, with a microphone and a speaker")
        said = stage.home / "said.wav"
        said.write_bytes(wav_of(asyncio.run(_speech()), RATE_HZ))
        terminal.row("you", f"(spoken) {SPOKEN}")
        cursor = board.edges(0).next
        board.ask(control.Mic(str(said), "wake"))
        state = _until_answered(board)
        terminal.row("heard", state.heard[-1] if state.heard else "nothing")
        terminal.row("spoken", " ".join(state.said))
        terminal.row("", f"{state.played_ms / 1000:.1f} s of speech, {state.glitches} gaps, {state.stale} stale frames")
        _show_trace(stage, client)
        seen = watch_pin(board, terminal, PIN, cursor=cursor, edges=EDGES, patience_s=PATIENCE_S)
        if len(seen.edges) < EDGES:
            raise DemoFailed(f"pin {PIN} changed {len(seen.edges)} times, {EDGES} were due: heard {state.heard}")
        terminal.line(f"demo passed: spoken, heard, {len(seen.edges)} edges, answered aloud")
    return 0


def _start_board(stage: Stage, running: ExitStack, client: Client) -> Child:
    """A board that is paired by a secret, with its other ways in beside the link."""
    made = client.post("/v1/devices/provision", {"name": DEVICE, "board": BOARD, "secret": True, "host": None})
    secret = stage.home / "secret"
    secret.touch(mode=0o600)
    secret.write_text(made["secret"], encoding="ascii")
    url = f"wss://{made['host']}:{made['port']}/link"
    link = ("--link", url, "--link-ca-sha256", made["ca_sha256"])
    board = stage.start_board(running, *link, "--link-secret-file", str(secret))
    facts, _ = board.wait_ready()
    with BoardControl(stage.home / "board.sock") as look:
        _until_linked(look)
    transports = [f"wasmachine://127.0.0.1:{facts['wasmachine']}", f"virtual:{facts['control']}"]
    client.devices.add_transports(DEVICE, transports)
    return board


def _until_linked(board: BoardControl) -> None:
    give_up = time.monotonic() + LINK_S
    while (state := board.ask(control.Link())).state != "connected":
        if time.monotonic() > give_up:
            raise DemoFailed(f"the board is not linked after {LINK_S:g} s: {state.state}, {state.error}")
        time.sleep(LOOK_EVERY_S)


async def _speech() -> bytes:
    """The sentence as somebody would say it, by flite."""
    from microclaw.voice.engines.flite import Flite
    from microclaw.voice.resampling import Resampler

    resampler, pcm = Resampler(RATE_HZ), b""
    async for piece in Flite("rms").speak(SPOKEN):
        pcm += resampler.feed(piece.pcm, piece.rate_hz)
    return pcm + resampler.rest()


def _until_answered(board: BoardControl) -> SpeakerState:
    give_up = time.monotonic() + ANSWER_S
    while True:
        state = board.ask(control.Speaker())
        if state.said and not state.speaking and not state.listening:
            return state
        if time.monotonic() > give_up:
            raise DemoFailed(f"nothing was answered within {ANSWER_S:g} s; heard: {state.heard}")
        time.sleep(LOOK_EVERY_S)


def _show_trace(stage: Stage, client: Client) -> None:
    turns = client.get("/v1/voice")["turns"]
    if not turns:
        return
    steps = dict(turns[-1]["steps"])
    if "speech end" in steps and "first audible" in steps:
        wait_ms, sure_ms = (steps[step] - steps["speech end"] for step in ("first audible", "end heard"))
        text = f"end of speech to first audible {wait_ms:.0f} ms, {sure_ms:.0f} ms of them to be sure of the end"
        stage.terminal.row("", text)
