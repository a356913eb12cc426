"""The buffer of what waits for the MQTT broker, and what the broker holds."""

from __future__ import annotations

from microclaw.store.database import Database
from microclaw.store.mqtt import ROW_BYTES, BufferedMessage, BufferSize, MqttBuffer

BODY = b"x" * (1000 - ROW_BYTES - 1)


async def test_a_full_buffer_loses_the_oldest_telemetry_first_and_counts_it(database: Database) -> None:
    buffer = MqttBuffer(database, limit_bytes=20_000)
    await buffer.add([BufferedMessage("event", "e", BODY) for _ in range(5)])
    await buffer.add([BufferedMessage("telemetry", "t", BODY) for _ in range(16)])
    assert buffer.sizes == {"event": BufferSize(5, 5_000, 0), "telemetry": BufferSize(14, 14_000, 2)}
    left = await buffer.after(0, 100)
    assert [(row.kind, row.payload == BODY) for row in left] == [("event", True)] * 5 + [("telemetry", True)] * 14
    await buffer.remove([row.number for row in left[:6]] + [999])
    await buffer.remove([])
    again = MqttBuffer(database)
    await again.open()
    assert again.sizes == buffer.sizes == {"event": BufferSize(), "telemetry": BufferSize(13, 13_000, 2)}
    await buffer.add([BufferedMessage("event", "e", BODY) for _ in range(30)])
    events = buffer.sizes["event"]
    assert buffer.sizes["telemetry"].messages == 0
    assert events.messages + events.lost == 30
    assert events.size_bytes <= 20_000
