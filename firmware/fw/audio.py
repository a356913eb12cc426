"""Microphone and speaker at I2S pins, on the link (docs/protocols/link.md): 16 kHz, one channel, 16 bit, 20 ms.

Only where /settings.json has `audio` {mic [sck, ws, sd], speaker [sck, ws, sd], button}; either may be left out.
A press of the button begins to listen; the host ends it, or the next press, or half a minute.
"""

import asyncio
import calendar
from collections import deque
from time import ticks_diff, ticks_ms

from micropython import const
from websocket import Breach

RATE_HZ = 16_000
FRAME_BYTES = 640
FRAME_MS = const(20)
_MIC_FRAMES = const(10)  # 200 ms wait for the network at most: older audio is no use
_SPEAKER_FRAMES = const(20)  # what buffer_ms promises
_PREFILL = const(2)
_MAX_LISTEN_MS = const(30_000)
_PRESS_MS = const(40)  # so long it is held at least
OWNER = "audio"  # of the pins


class Audio:
    """`link` says and sends. `glitches` counts frames that were dropped: a queue that is full loses the oldest."""

    def __init__(self, link, board, pins):
        self._link = link
        self._board = board
        self._mic, self._speaker, self._button = pins.get("mic"), pins.get("speaker"), pins.get("button")
        for pin in (self._mic or []) + (self._speaker or []) + ([self._button] if self._button is not None else []):
            board.claim(pin, OWNER)
        self.glitches = 0
        self._stream = -1  # the board's have odd numbers
        self._open = self._speaking = None
        self._has_ended = False
        self._heard, self._said = deque((), _MIC_FRAMES), deque((), _SPEAKER_FRAMES)
        self._news, self._more = asyncio.Event(), asyncio.Event()
        self._tasks = []
        link.audio, self._measure, link.measure = self.took, link.measure, self._measured
        link.audio_format = {
            "codecs": ["pcm16"],
            "rate": RATE_HZ,
            "frame_ms": FRAME_MS,
            "buffer_ms": _SPEAKER_FRAMES * FRAME_MS,
        }

    def _measured(self):
        body = self._measure()
        if self.glitches:
            body["glitches"] = self.glitches
        return body

    async def run(self):
        """The button, for ever."""
        if self._button is None:
            return
        pin = self._board.machine.Pin
        button, since = pin(self._button, pin.IN, pin.PULL_UP), None
        while True:
            await asyncio.sleep_ms(FRAME_MS)
            if not button.value():
                since = ticks_ms() if since is None else since
                if since and ticks_diff(ticks_ms(), since) >= _PRESS_MS:
                    since = 0
                    await self.pressed()
            else:
                since = None

    async def pressed(self):
        """Silence, if it speaks; then it listens, or no longer."""
        if self._speaking is not None:
            stream = self._speaking
            self._hush()
            await self._say("cancel_stream", {"stream": stream})
        if self._open is not None:
            await self._close("button")
        elif self._mic is not None and self._link.phase == "ready":
            await self._listen()

    # The link's side

    def took(self, kind, body):
        """A frame, a message about a stream, or the connection's end."""
        if kind == "payload":
            self._hear(body)
        elif kind == "leave":
            self._open = None
            self._news.set()
            self._hush()
        elif kind in ("tts_start", "tts_end", "cancel_stream"):
            for name, its in ("stream", int), ("codec", str), ("rate", int):
                value = body.get(name)
                if (name == "stream" or kind == "tts_start") and (
                    not isinstance(value, its) or isinstance(value, bool)
                ):
                    raise Breach(4400, "malformed", "{} of {}".format(name, kind))
            self._follow(kind, body, body["stream"])

    def _follow(self, kind, body, stream):
        if kind == "tts_start":
            self._hush()
            if self._speaker is None or body["codec"] != "pcm16" or not 8000 <= body["rate"] <= 48000:
                self._begin(self._say("cancel_stream", {"stream": stream}))
                return
            self._speaking, self._has_ended = stream, False
            self._begin(self._play(stream, body["rate"]))
        elif kind == "tts_end" and stream == self._speaking:
            self._has_ended = True
            self._more.set()
        elif kind == "cancel_stream":
            if stream == self._speaking:
                self._hush()
            if stream == self._open:
                self._open = None
                self._news.set()

    def _hear(self, frame):
        """A frame for the speaker; outside of a stream it is dropped."""
        if self._speaking is None or self._has_ended:
            return
        if len(self._said) >= _SPEAKER_FRAMES:
            self._said.popleft()
            self.glitches += 1
        self._said.append(bytes(frame))
        self._more.set()

    async def _say(self, kind, body):
        try:
            await self._link._say(kind, body)
        except OSError:
            pass  # the connection broke: the link is told by its own

    def _begin(self, coro):
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(coro))

    def _i2s(self, pins, rate):
        machine = self._board.machine
        kind, is_mic = machine.I2S, pins is self._mic
        sck, ws, sd = [machine.Pin(pin) for pin in pins]
        return kind(
            0 if is_mic else 1,
            sck=sck,
            ws=ws,
            sd=sd,
            mode=kind.RX if is_mic else kind.TX,
            bits=16,
            format=kind.MONO,
            rate=rate,
            ibuf=8 * FRAME_BYTES,
        )

    # The microphone

    async def _listen(self):
        self._stream += 2
        stream = self._open = self._stream
        while self._heard:
            self._heard.popleft()
        body = {"stream": stream, "codec": "pcm16", "rate": RATE_HZ, "trigger": "button", "wake_ts": calendar.now_ms()}
        await self._say("start_asr_stream", body)
        self._begin(self._capture(stream))
        self._begin(self._send(stream))

    async def _close(self, reason):
        stream, self._open = self._open, None
        self._news.set()
        await self._say("stop_asr_stream", {"stream": stream, "reason": reason})

    async def _capture(self, stream):
        i2s = self._i2s(self._mic, RATE_HZ)
        try:
            reader, began = asyncio.StreamReader(i2s), ticks_ms()
            while self._open == stream:
                frame = bytearray(1 + FRAME_BYTES)
                frame[0], at, view = 2, 1, memoryview(frame)
                while at < len(frame):
                    at += await reader.readinto(view[at:]) or 0
                if len(self._heard) >= _MIC_FRAMES:
                    self._heard.popleft()
                    self.glitches += 1
                self._heard.append(frame)
                self._news.set()
                if ticks_diff(ticks_ms(), began) > _MAX_LISTEN_MS and self._open == stream:
                    await self._close("too_long")
        finally:
            i2s.deinit()

    async def _send(self, stream):
        while self._open == stream:
            await self._news.wait()
            self._news.clear()
            while self._heard and self._open == stream:
                try:
                    await self._link.ws.send(self._heard.popleft())
                except OSError:
                    return

    # The speaker

    def _hush(self):
        self._speaking = None
        while self._said:
            self._said.popleft()
        self._more.set()

    async def _play(self, stream, rate):
        i2s = self._i2s(self._speaker, rate)
        try:
            writer = asyncio.StreamWriter(i2s)
            while len(self._said) < _PREFILL and not self._has_ended and self._speaking == stream:
                self._more.clear()
                await self._more.wait()
            while self._speaking == stream:
                if self._said:
                    writer.write(self._said.popleft())
                    await writer.drain()
                elif self._has_ended:
                    self._speaking = None
                else:
                    self._more.clear()
                    await self._more.wait()
        finally:
            i2s.deinit()


def begin(link, board, pins):
    """A wrong pin stops nothing else."""
    try:
        return asyncio.create_task(Audio(link, board, pins).run())
    except (ValueError, OSError, TypeError, AttributeError) as exc:
        print("no audio: {}: {}".format(type(exc).__name__, exc))
