"""One or more envelopes of every CONTROL message; their bytes are in docs/protocols/link.md. Data only."""

from __future__ import annotations

from microclaw.wire.link.messages import (
    Ack,
    AppState,
    AsrFinal,
    AsrPartial,
    AudioFormat,
    BlobRead,
    Bye,
    Call,
    CancelStream,
    CancelTask,
    Envelope,
    ErrorInfo,
    ErrorMessage,
    Event,
    Hello,
    Limits,
    Log,
    Notify,
    OtaCancel,
    OtaFacts,
    OtaOffer,
    OtaStatus,
    PairCode,
    PairDone,
    PairRequest,
    Ping,
    Pong,
    Result,
    RunTask,
    Software,
    StartAsr,
    StopAsr,
    TaskStatus,
    Telemetry,
    Token,
    TtsChunk,
    TtsEnd,
    TtsStart,
    UiState,
    Welcome,
)

ID = bytes(range(16))
ASKED = bytes(range(16, 32))
BOOT = bytes(range(32, 48))
DEVICE_EPOCH = b"device-1"
HOST_EPOCH = b"host---1"
NOW_MS = 1_760_000_000_000
PCM = AudioFormat(("pcm16", "opus"), 16_000, 20, 200)

EXAMPLES: dict[str, Envelope] = {
    "hello": Envelope(
        ID,
        Hello(
            BOOT, Software("microclaw", "1.0.0"), "esp32-s3-devkitc-1", ("gpio", "apps"), DEVICE_EPOCH, 7, "power_on",
            HOST_EPOCH, PCM,
        ),
    ),
    "hello-ota": Envelope(
        ID,
        Hello(
            BOOT, Software("microclaw-firmware", "1.0.0"), "virtual", ("gpio",), DEVICE_EPOCH, 0, "power_on",
            ota=OtaFacts("esp32s3", "stable", ("files",), ("3f1c2a9b8d7e6f50",), 3),
        ),
        NOW_MS,
    ),
    "hello-kinds": Envelope(
        ID,
        Hello(
            BOOT, Software("microclaw", "1.0.0"), "virtual", ("gpio",), DEVICE_EPOCH, 0, "power_on", kinds=("py",)
        ),
    ),
    "hello-first": Envelope(
        ID, Hello(BOOT, Software("microclaw", "1.0.0"), "virtual", ("gpio",), DEVICE_EPOCH, 0, "power_on")
    ),
    "welcome": Envelope(
        ID,
        Welcome(ASKED, Software("microclaw", "0.1.0"), NOW_MS, 15, HOST_EPOCH, 3, Limits(16_384, 2_048), DEVICE_EPOCH),
        NOW_MS,
    ),
    "token": Envelope(ID, Token("mc1_lamp_x", NOW_MS + 1), NOW_MS),
    "error": Envelope(ID, ErrorMessage("unknown_type", "no message sing", False), NOW_MS, re=ASKED),
    "bye": Envelope(ID, Bye("shutting down", 5), NOW_MS),
    "bye-plain": Envelope(ID, Bye("sleep"), 0),
    "ping": Envelope(ID, Ping(1, NOW_MS * 1000), NOW_MS),
    "pong": Envelope(ID, Pong(1, NOW_MS * 1000, NOW_MS * 1000 + 900, NOW_MS * 1000 + 950), NOW_MS, re=ASKED),
    "ack": Envelope(ID, Ack(42), NOW_MS),
    "pair_request": Envelope(ID, PairRequest("virtual", csr=b"0\x82csr")),
    "pair_request-token": Envelope(ID, PairRequest("virtual", token_wanted=True, secret="k7-winter")),
    "pair_code": Envelope(ID, PairCode("042817", 120), NOW_MS),
    "pair_done": Envelope(ID, PairDone(certificate=b"0\x82cert"), NOW_MS, re=ASKED),
    "pair_done-token": Envelope(ID, PairDone(token="mc1_lamp_x"), NOW_MS, re=ASKED),
    "start_asr_stream": Envelope(ID, StartAsr(1, "pcm16", 16_000, "wake", NOW_MS), NOW_MS),
    "stop_asr_stream": Envelope(ID, StopAsr(1, "silence"), NOW_MS),
    "asr_partial": Envelope(ID, AsrPartial(1, "blink the"), NOW_MS),
    "asr_final": Envelope(ID, AsrFinal(1, "blink the LED", 0.5), NOW_MS),
    "tts_start": Envelope(ID, TtsStart(2, "pcm16", 16_000), NOW_MS),
    "tts_chunk": Envelope(ID, TtsChunk(2, 0, "Done.", 8_000), NOW_MS),
    "tts_end": Envelope(ID, TtsEnd(2, "done"), NOW_MS),
    "cancel_stream": Envelope(ID, CancelStream(2), NOW_MS),
    "run_task": Envelope(ID, RunTask("t1", "agent", "turn the lamp on", 60), NOW_MS, 1),
    "cancel_task": Envelope(ID, CancelTask("t1"), NOW_MS, 2),
    "task_status": Envelope(ID, TaskStatus("t1", "running", 0.25, "thinking"), NOW_MS),
    "task_status-final": Envelope(ID, TaskStatus("t1", "done"), NOW_MS, 24),
    "call": Envelope(ID, Call("gpio.set", {"pin": 2, "level": 1}, True, 5_000), NOW_MS),
    "call-durable": Envelope(ID, Call("apps.undo", {}, False), NOW_MS, 300),
    "result": Envelope(
        ID, Result(True, {"levels": [0, 1], "volts": 1.5, "raw": b"\x01", "ok": None}), NOW_MS, re=ASKED
    ),
    "result-error": Envelope(ID, Result(False, error=ErrorInfo("no_such_app", "no app blink")), NOW_MS, 9, ASKED),
    "event": Envelope(ID, Event("button", {"pin": 0, "pressed": True}), 0, 70_000),
    "telemetry": Envelope(
        ID, Telemetry(180_000, 3_600, (AppState("blink", "running"),), -61, 41.5, 3.9, 2, 1, 0), NOW_MS
    ),
    "telemetry-wired": Envelope(ID, Telemetry(180_000, 3_600, ()), NOW_MS),
    "log": Envelope(ID, Log("warning", "blink", 12, "pin 2 is busy"), NOW_MS),
    "ui_state": Envelope(ID, UiState(True, False, False, 40, "wifi", "hm", "curious"), NOW_MS),
    "ui_state-one": Envelope(ID, UiState(listening=True), NOW_MS),
    "notify": Envelope(ID, Notify("The washing is done.", True, NOW_MS + 60_000), NOW_MS, 5),
    "ota_offer": Envelope(ID, OtaOffer(b"manifest", b"signature"), NOW_MS, 6),
    "ota_cancel": Envelope(ID, OtaCancel("1.1.0"), NOW_MS, 7),
    "ota_status": Envelope(ID, OtaStatus("1.1.0", "downloading", 0.5), NOW_MS, 8),
    "blob_read": Envelope(ID, BlobRead(bytes(range(32)), 16_384, 4_096), NOW_MS),
    "ota_status-failed": Envelope(ID, OtaStatus("1.1.0", "failed", 1.0, "wrong hash"), NOW_MS, 9),
}  # fmt: skip
