"""Microphone and speaker at I2S pins, on the link (docs/protocols/link.md): 16 kHz, one channel, 16 bit, 20 ms.

Used only if /settings.json has `audio` {mic [sck, ws, sd], speaker [sck, ws, sd], button}; either may be absent.
A press of the button starts listening. It ends by the host, by the next press, or after half a minute.
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
# At most 200 ms of audio wait for the network: older audio is of no use.
_MIC_FRAMES = const(10)
# The length that `buffer_ms` promises.
_SPEAKER_FRAMES = const(20)
_PREFILL = const(2)
_MAX_LISTEN_MS = const(30_000)
# The button must be held for at least this time.
_PRESS_MS = const(40)
# The owner of the pins.
OWNER = "audio"


class Audio:
    """Microphone and speaker. `glitches` counts dropped frames: a full queue loses the oldest."""

    def __init__(self, link, board, pins):
        self._link = link
        self._board = board
        self._mic = pins.get("mic")
        self._speaker = pins.get("speaker")
        self._button = pins.get("button")
        for pin in (self._mic or []) + (self._speaker or []) + [self._button] * (self._button is not None):
            board.claim(pin, OWNER)
        self.glitches = 0
        # Streams of the board have odd numbers.
        self._stream = -1
        self._open = self._speaking = None
        self._has_ended = False
        self._heard = deque((), _MIC_FRAMES)
        self._said = deque((), _SPEAKER_FRAMES)
        self._news = asyncio.Event()
        self._more = asyncio.Event()
        self._tasks = []
        link.audio = self.took
        self._measure = link.measure
        link.measure = self._measured
        link.audio_format = {"codecs": ["pcm16"], "rate": RATE_HZ, "frame_ms": FRAME_MS}
        link.audio_format["buffer_ms"] = _SPEAKER_FRAMES * FRAME_MS

    def _measured(self):
        body = self._measure()
        if self.glitches:
            body["glitches"] = self.glitches
        return body

    async def run(self):
        """Watch the button, forever."""
        if self._button is None:
            return
        pin = self._board.machine.Pin
        button = pin(self._button, pin.IN, pin.PULL_UP)
        since = None
        while True:
            await asyncio.sleep_ms(FRAME_MS)
            if not button.value():
                if since is None:
                    since = ticks_ms()
                if since and ticks_diff(ticks_ms(), since) >= _PRESS_MS:
                    since = 0
                    await self.pressed()
            else:
                since = None

    async def pressed(self):
        """Stop speaking; then begin to listen, or stop listening."""
        if self._speaking is not None:
            stream = self._speaking
            self._hush()
            await self._say("cancel_stream", {"stream": stream})
        if self._open is not None:
            await self._close("button")
        elif self._mic is not None and self._link.phase == "ready":
            await self._listen()

    def took(self, kind, body):
        """Handle an audio frame, a message about a stream, or the end of the connection."""
        if kind == "payload":
            self._hear(body)
        elif kind == "leave":
            self._open = None
            self._news.set()
            self._hush()
        elif kind in ("tts_start", "tts_end", "cancel_stream"):
            for name, its in (("stream", int), ("codec", str), ("rate", int))[: 3 if kind == "tts_start" else 1]:
                if not isinstance(body.get(name), its) or isinstance(body[name], bool):
                    raise Breach(4400, "malformed", "{} of {}".format(name, kind))
            self._follow(kind, body, body["stream"])

    def _follow(self, kind, body, stream):
        if kind == "tts_start":
            self._hush()
            if self._speaker is None or body["codec"] != "pcm16" or not 8000 <= body["rate"] <= 48000:
                self._begin(self._say("cancel_stream", {"stream": stream}))
                return
            self._speaking = stream
            self._has_ended = False
            self._begin(self._play(stream, body["rate"]))
        elif kind == "tts_end" and stream == self._speaking:
            self._has_ended = True
            self._more.set()
        elif kind == "cancel_stream" and stream == self._speaking:
            self._hush()
        elif kind == "cancel_stream" and stream == self._open:
            self._open = None
            self._news.set()

    def _hear(self, frame):
        """Queue a frame for the speaker; drop it outside of a stream."""
        if self._speaking is not None and not self._has_ended:
            self._put(self._said, _SPEAKER_FRAMES, bytes(frame), self._more)

    def _put(self, queue, most, frame, news):
        if len(queue) >= most:
            queue.popleft()
            self.glitches += 1
        queue.append(frame)
        news.set()

    async def _say(self, kind, body):
        try:
            await self._link._say(kind, body)
        except OSError:
            # The connection broke: the link's own tasks notice it.
            pass

    def _begin(self, coro):
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(coro))

    def _i2s(self, pins, rate):
        pin = self._board.machine.Pin
        kind = self._board.machine.I2S
        is_mic = pins is self._mic
        wires = {"sck": pin(pins[0]), "ws": pin(pins[1]), "sd": pin(pins[2]), "ibuf": 8 * FRAME_BYTES}
        mode = kind.RX if is_mic else kind.TX
        return kind(0 if is_mic else 1, mode=mode, bits=16, format=kind.MONO, rate=rate, **wires)

    async def _listen(self):
        self._stream += 2
        stream = self._open = self._stream
        self._heard = deque((), _MIC_FRAMES)
        body = {"stream": stream, "codec": "pcm16", "rate": RATE_HZ, "trigger": "button", "wake_ts": calendar.now_ms()}
        await self._say("start_asr_stream", body)
        self._begin(self._capture(stream))
        self._begin(self._send(stream))

    async def _close(self, reason):
        stream = self._open
        self._open = None
        self._news.set()
        await self._say("stop_asr_stream", {"stream": stream, "reason": reason})

    async def _capture(self, stream):
        i2s = self._i2s(self._mic, RATE_HZ)
        try:
            reader = asyncio.StreamReader(i2s)
            began = ticks_ms()
            while self._open == stream:
                frame = bytearray(1 + FRAME_BYTES)
                frame[0] = 2
                at = 1
                view = memoryview(frame)
                while at < len(frame):
                    at += await reader.readinto(view[at:]) or 0
                self._put(self._heard, _MIC_FRAMES, frame, self._news)
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

    def _hush(self):
        self._speaking = None
        self._said = deque((), _SPEAKER_FRAMES)
        self._more.set()

    async def _play(self, stream, rate):
        i2s = self._i2s(self._speaker, rate)
        try:
            writer = asyncio.StreamWriter(i2s)
            while len(self._said) < _PREFILL and not self._has_ended and self._speaking == stream:
                self._more.clear()
                await self._more.wait()
            while self._speaking == stream and (self._said or not self._has_ended):
                if self._said:
                    writer.write(self._said.popleft())
                    await writer.drain()
                else:
                    self._more.clear()
                    await self._more.wait()
            if self._speaking == stream:
                self._speaking = None
        finally:
            i2s.deinit()


def begin(link, board, pins):
    """Start the audio task, or print why there is no audio: a wrong pin must not stop anything else."""
    try:
        wlan = board.wlan()
        if wlan is not None:
            # WLAN.PM_NONE: power saving holds up a frame by as much as 0.3 s.
            wlan.config(pm=0)
        return asyncio.create_task(Audio(link, board, pins).run())
    except (ValueError, OSError, TypeError, AttributeError) as exc:
        print("no audio: {}: {}".format(type(exc).__name__, exc))
