"""One or more envelopes of every CONTROL message; their bytes are in docs/protocols/link.md. Data only."""

from __future__ import annotations

from msgspec.structs import replace

from microclaw.wire.link import messages as m
from microclaw.wire.link.messages import Envelope

ID = bytes(range(16))
ASKED = bytes(range(16, 32))
BOOT = bytes(range(32, 48))
DEVICE_EPOCH = b"device-1"
HOST_EPOCH = b"host---1"
NOW_MS = 1_760_000_000_000
PCM = m.AudioFormat(("pcm16", "opus"), 16_000, 20, 200)
HELLO = m.Hello(BOOT, m.Software("microclaw", "1.0.0"), "virtual", ("gpio",), DEVICE_EPOCH, 0, "power_on")

EXAMPLES: dict[str, Envelope] = {
    "hello": Envelope(
        ID,
        replace(
            HELLO, board="esp32-s3-devkitc-1", capabilities=("gpio", "apps"), rx_seq=7, rx_epoch=HOST_EPOCH, audio=PCM
        ),
    ),
    "hello-ota": Envelope(
        ID,
        replace(
            HELLO, firmware=m.Software("microclaw-firmware", "1.0.0"),
            ota=m.OtaFacts("esp32s3", "stable", ("files",), ("3f1c2a9b8d7e6f50",), 3),
        ),
        NOW_MS,
    ),
    "hello-kinds": Envelope(ID, replace(HELLO, kinds=("py",))),
    "hello-first": Envelope(ID, HELLO),
    "welcome": Envelope(
        ID,
        m.Welcome(
            ASKED,
            m.Software("microclaw", "0.1.0"),
            NOW_MS,
            15,
            HOST_EPOCH,
            3,
            m.MessageLimits(16_384, 2_048),
            DEVICE_EPOCH,
        ),
        NOW_MS,
    ),
    "token": Envelope(ID, m.Token("mc1_lamp_x", NOW_MS + 1), NOW_MS),
    "error": Envelope(ID, m.ErrorMessage("unknown_type", "no message sing", False), NOW_MS, re=ASKED),
    "bye": Envelope(ID, m.Bye("shutting down", 5), NOW_MS),
    "bye-plain": Envelope(ID, m.Bye("sleep"), 0),
    "ping": Envelope(ID, m.Ping(1, NOW_MS * 1000), NOW_MS),
    "pong": Envelope(ID, m.Pong(1, NOW_MS * 1000, NOW_MS * 1000 + 900, NOW_MS * 1000 + 950), NOW_MS, re=ASKED),
    "ack": Envelope(ID, m.Ack(42), NOW_MS),
    "pair_request": Envelope(ID, m.PairRequest("virtual", csr=b"0\x82csr")),
    "pair_request-token": Envelope(ID, m.PairRequest("virtual", token_wanted=True, secret="k7-winter")),
    "pair_code": Envelope(ID, m.PairCode("042817", 120), NOW_MS),
    "pair_done": Envelope(ID, m.PairDone(certificate=b"0\x82cert"), NOW_MS, re=ASKED),
    "pair_done-token": Envelope(ID, m.PairDone(token="mc1_lamp_x"), NOW_MS, re=ASKED),
    "start_asr_stream": Envelope(ID, m.StartAsr(1, "pcm16", 16_000, "wake", NOW_MS), NOW_MS),
    "stop_asr_stream": Envelope(ID, m.StopAsr(1, "silence"), NOW_MS),
    "asr_partial": Envelope(ID, m.AsrPartial(1, "blink the"), NOW_MS),
    "asr_final": Envelope(ID, m.AsrFinal(1, "blink the LED", 0.5), NOW_MS),
    "tts_start": Envelope(ID, m.TtsStart(2, "pcm16", 16_000), NOW_MS),
    "tts_chunk": Envelope(ID, m.TtsChunk(2, 0, "Done.", 8_000), NOW_MS),
    "tts_end": Envelope(ID, m.TtsEnd(2, "done"), NOW_MS),
    "cancel_stream": Envelope(ID, m.CancelStream(2), NOW_MS),
    "run_task": Envelope(ID, m.RunTask("t1", "agent", "turn the lamp on", 60), NOW_MS, 1),
    "cancel_task": Envelope(ID, m.CancelTask("t1"), NOW_MS, 2),
    "task_status": Envelope(ID, m.TaskStatus("t1", "running", 0.25, "thinking"), NOW_MS),
    "task_status-final": Envelope(ID, m.TaskStatus("t1", "done"), NOW_MS, 24),
    "call": Envelope(ID, m.Call("gpio.set", {"pin": 2, "level": 1}, True, 5_000), NOW_MS),
    "call-durable": Envelope(ID, m.Call("apps.undo", {}, False), NOW_MS, 300),
    "result": Envelope(
        ID, m.Result(True, {"levels": [0, 1], "volts": 1.5, "raw": b"\x01", "ok": None}), NOW_MS, re=ASKED
    ),
    "result-error": Envelope(ID, m.Result(False, error=m.ErrorInfo("no_such_app", "no app blink")), NOW_MS, 9, ASKED),
    "event": Envelope(ID, m.Event("button", {"pin": 0, "pressed": True}), 0, 70_000),
    "telemetry": Envelope(
        ID, m.Telemetry(180_000, 3_600, (m.AppReport("blink", "running"),), -61, 41.5, 3.9, 2, 1, 0), NOW_MS
    ),
    "telemetry-wired": Envelope(ID, m.Telemetry(180_000, 3_600, ()), NOW_MS),
    "log": Envelope(ID, m.Log("warning", "blink", 12, "pin 2 is busy"), NOW_MS),
    "ui_state": Envelope(ID, m.UiState(True, False, False, 40, "wifi", "hm", "curious"), NOW_MS),
    "ui_state-one": Envelope(ID, m.UiState(listening=True), NOW_MS),
    "notify": Envelope(ID, m.Notify("The washing is done.", True, NOW_MS + 60_000), NOW_MS, 5),
    "ota_offer": Envelope(ID, m.OtaOffer(b"manifest", b"signature"), NOW_MS, 6),
    "ota_cancel": Envelope(ID, m.OtaCancel("1.1.0"), NOW_MS, 7),
    "ota_status": Envelope(ID, m.OtaStatus("1.1.0", "downloading", 0.5), NOW_MS, 8),
    "blob_read": Envelope(ID, m.BlobRead(bytes(range(32)), 16_384, 4_096), NOW_MS),
    "fetch": Envelope(
        ID, m.Fetch("lamp", "POST", "https://api.example.org/x", {"x-key": "k"}, 2, 8_192, 20_000), NOW_MS
    ),
    "fetched": Envelope(ID, m.Fetched(200, {"content-type": "application/json"}, 9), NOW_MS, re=ASKED),
    "fetch_piece": Envelope(ID, m.FetchPiece(b'{"t": 21}'), NOW_MS, re=ASKED),
    "ota_status-failed": Envelope(ID, m.OtaStatus("1.1.0", "failed", 1.0, "wrong hash"), NOW_MS, 9),
}  # fmt: skip
