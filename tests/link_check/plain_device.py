"""A device written from docs/protocols/link.md alone: nothing of microclaw is imported. `faults` break one rule each.

It is what a firmware author would write first: one file, one connection at a time, everything in RAM.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import ssl
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ALLOWED = {
    "welcome", "token", "error", "bye", "ping", "pong", "ack", "pair_code", "pair_done", "asr_partial", "asr_final",
    "tts_start", "tts_chunk", "tts_end", "cancel_stream", "task_status", "call", "ui_state", "notify", "ota_offer",
    "ota_cancel",
}  # fmt: skip
FROM_DEVICE = {"hello", "pair_request", "start_asr_stream", "stop_asr_stream", "run_task", "cancel_task", "result"}
ALWAYS_DURABLE = {"notify", "ota_offer", "ota_cancel"}
NEVER_DURABLE = ALLOWED - ALWAYS_DURABLE - {"call", "task_status"}
KEYS: dict[str, dict[str, type]] = {
    "ping": {"n": int, "t0": int},
    "ack": {"seq": int},
    "call": {"method": str, "params": dict, "idempotent": bool},
}


class Breach(Exception):
    def __init__(self, close: int, code: str) -> None:
        self.close, self.code = close, code


class Over(Exception):
    """The connection ended; `at_once` when the device should be back without a wait."""

    def __init__(self, code: int | None, wait_s: float | None = None) -> None:
        self.code, self.wait_s = code, wait_s


class PlainDevice:
    def __init__(self, host: str, port: int, ca_sha256: str, secret: str | None, *faults: str, token: bool = True):
        self.host, self.port, self.ca_sha256, self.secret = host, port, ca_sha256, secret
        self.faults = set(faults)
        self.wants_token = token
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.token: str | None = None
        self.certificate: bytes | None = None
        self.ca: str | None = None
        self.boot_id = os.urandom(16)
        self.tx_epoch, self.tx_last, self.outbox = os.urandom(8), 0, dict[int, dict[str, Any]]()
        self.rx_epoch: bytes | None = None
        self.rx_seq = 0
        self.applied: list[bytes] = []
        self.answers: dict[bytes, dict[str, Any]] = {}
        self.folder = tempfile.mkdtemp()
        self.failures = 0

    async def run(self) -> None:
        while True:
            wait_s: float | None = None
            try:
                await self.connect()
            except Over as over:
                wait_s = over.wait_s
                if over.code in (4401, 4403, 4409) and self.token:
                    wait_s = 60.0
            except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
                pass
            self.failures += 1
            jitter_s = random.uniform(0.5, min(60.0, 0.5 * 2 ** min(self.failures, 10)))
            if "back-at-once" not in self.faults:
                await asyncio.sleep(jitter_s if wait_s is None else wait_s and wait_s + jitter_s)

    # TLS and WebSocket

    async def connect(self) -> None:
        if self.ca is None:
            self.ca = await self.fetch()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if "trusts-anyone" in self.faults:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        else:
            tls.load_verify_locations(cadata=self.ca)
        if self.certificate is not None:
            tls.load_cert_chain(self.write_certificate(self.certificate))
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        try:
            key = base64.b64encode(os.urandom(16)).decode()
            head = f"GET /link HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            head += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: microclaw.v1\r\n"
            head += f"Authorization: Bearer {self.token}\r\n" if self.token else ""
            self.writer.write(f"{head}\r\n".encode())
            answer = await self.reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in answer.split(b"\r\n", 1)[0]:
                raise ValueError(answer)
            await self.converse()
        finally:
            self.writer.transport.abort()

    async def fetch(self) -> str:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
        writer.write(f"GET /ca.pem HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        body = (await reader.read(-1)).partition(b"\r\n\r\n")[2]
        writer.transport.abort()
        der = ssl.PEM_cert_to_DER_cert(body.decode())
        if hashlib.sha256(der).hexdigest() != self.ca_sha256 and "trusts-anyone" not in self.faults:
            raise ValueError("another authority")
        return body.decode()

    def write_certificate(self, der: bytes) -> Path:
        path = Path(self.folder) / "device.pem"
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + ssl.DER_cert_to_PEM_cert(der).encode())
        return path

    def send(self, payload: bytes, opcode: int = 2) -> None:
        mask = os.urandom(4)
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.writer.write(bytes([0x80 | opcode]) + length + mask + masked)

    def close(self, code: int, wait_s: float | None = None) -> None:
        self.send(struct.pack(">H", code), 8)
        raise Over(code, wait_s)

    async def receive(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack(">H", await self.reader.readexactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", await self.reader.readexactly(8))[0]
        if size > 16_385 and "takes-large" not in self.faults:
            raise Breach(4413, "too_large")
        return first & 0x0F, await self.reader.readexactly(size)

    # The link

    def say(self, kind: str, body: dict[str, Any], **more: Any) -> None:
        message = {"v": 1, "type": kind, "id": os.urandom(16), "ts": 0, "body": body, **more}
        self.send(b"\x01" + cbor2.dumps(message))

    async def converse(self) -> None:
        self.phase, self.heartbeat_s, self.pings = "open", 15.0, list[int]()
        self.next_ping_s = time.monotonic() + self.heartbeat_s
        if self.token or self.certificate:
            hello: dict[str, Any] = {
                "boot_id": self.boot_id,
                "firmware": {"name": "plain", "version": "1"},
                "board": "my-own_v1",
            }
            hello |= {**self.facts(), "tx_epoch": self.tx_epoch, "rx_seq": self.rx_seq}
            if self.rx_epoch is not None:
                hello["rx_epoch"] = self.rx_epoch
            self.say("hello", hello | {"reset_reason": "power_on"})
            self.phase = "offered"
        else:
            self.say("pair_request", {"board": "my-own_v1", **self.wanted()})
            self.phase = "pairing"
        try:
            while True:
                await self.one()
        except Breach as breach:
            if "forgives" in self.faults:
                breach.close = 1000
            self.say("error", {"code": breach.code, "message": "a breach", "fatal": True})
            self.close(breach.close)

    def wanted(self) -> dict[str, Any]:
        secret = {"secret": self.secret} if self.secret else {}
        if self.wants_token:
            return {"token_wanted": True, **secret}
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, hashes.SHA256())
        return {"csr": request.public_bytes(Encoding.DER), **secret}

    async def one(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self.next_ping_s - time.monotonic())):
                opcode, message = await self.receive()
        except TimeoutError:
            self.next_ping_s = time.monotonic() + self.heartbeat_s
            if len(self.pings) >= 2 and "never-gives-up" not in self.faults:
                raise Breach(4408, "timeout") from None
            self.pings.append(len(self.pings) + 1)
            self.say("ping", {"n": self.pings[-1], "t0": time.time_ns() // 1000})
            return
        if opcode == 8:
            self.send(message[:2], 8)
            raise Over(struct.unpack(">H", message[:2])[0] if message else None, self.bye_wait())
        if opcode == 1 and "takes-text" not in self.faults:
            raise Breach(1003, "not_binary")
        if opcode == 2:
            self.take(message)

    def bye_wait(self) -> float | None:
        wait_s, self.retry_after_s = getattr(self, "retry_after_s", None), None
        return wait_s

    def take(self, message: bytes) -> None:
        if not message or (message[0] in (2, 3) and len(message) == 1):
            raise Breach(4400, "malformed")
        if message[0] in (2, 3) and len(message) > 2049:
            raise Breach(4413, "too_large")
        if message[0] == 2:
            raise Breach(4400, "unexpected_message")
        if message[0] != 1:
            return
        envelope = self.read(message[1:])
        kind, body, seq = envelope["type"], envelope["body"], envelope.get("seq")
        known = kind in ALLOWED
        greeting = kind in ("welcome", "pair_code", "pair_done")
        has_place = (self.phase == "ready") != greeting and (known or self.phase == "ready")
        has_place |= kind in ("ping", "pong", "error", "bye") and self.phase == "pairing"
        if kind in FROM_DEVICE or not has_place:
            raise Breach(4400, "unexpected_message")
        if (kind in NEVER_DURABLE and seq is not None) or (kind in ALWAYS_DURABLE and seq is None):
            raise Breach(4400, "malformed")
        if seq is not None and not self.count(seq, envelope["id"]):
            return
        if not known and seq is not None:
            self.say("error", {"code": "unknown_type", "message": kind, "fatal": False}, re=envelope["id"])
        if known:
            getattr(self, f"on_{kind}", lambda *_: None)(envelope, body)
        if seq is not None and "never-acks" not in self.faults:
            self.say("ack", {"seq": self.rx_seq})

    def read(self, payload: bytes) -> dict[str, Any]:
        try:
            envelope = cbor2.loads(payload)
            if cbor2.dumps(envelope) != payload and "lenient" not in self.faults:
                raise ValueError("not plain CBOR, or bytes after it")
            check(envelope)
            if envelope["v"] != 1 and "takes-any-version" not in self.faults:
                raise Breach(4400, "unsupported_version")
            for key, kind in {"type": str, "id": bytes, "ts": int, "body": dict}.items():
                if type(envelope[key]) is not kind:
                    raise ValueError(key)
            if len(envelope["id"]) != 16 or envelope.get("re", b"") is None:
                raise ValueError("id")
            for key, wanted in KEYS.get(envelope["type"], {}).items():
                if type(envelope["body"][key]) is not wanted:
                    raise ValueError(key)
        except (ValueError, KeyError, TypeError, cbor2.CBORError) as exc:
            if "lenient" in self.faults:
                return {"type": "later", "body": {}, "id": bytes(16)}
            raise Breach(4400, "malformed") from exc
        found: dict[str, Any] = envelope
        return found

    def count(self, seq: int, message_id: bytes) -> bool:
        """Whether it is to be acted on."""
        if seq <= self.rx_seq and "applies-twice" not in self.faults:
            self.say("ack", {"seq": self.rx_seq})
            return False
        if seq > self.rx_seq + 1 and "takes-gaps" not in self.faults:
            raise Breach(4400, "sequence_gap")
        self.rx_seq = max(seq, self.rx_seq)
        if message_id in self.applied and not {"forgets-ids", "applies-twice"} & self.faults:
            self.say("ack", {"seq": self.rx_seq})
            return False
        self.applied = [*self.applied, message_id][-256:]
        return True

    def durable(self, kind: str, body: dict[str, Any], **more: Any) -> None:
        self.tx_last += 1
        message = {"v": 1, "type": kind, "id": os.urandom(16), "ts": 0, "body": body, "seq": self.tx_last, **more}
        if "forgets-unacked" not in self.faults:
            self.outbox[self.tx_last] = message
        self.send(b"\x01" + cbor2.dumps(message))

    def on_welcome(self, _envelope: dict[str, Any], body: dict[str, Any]) -> None:
        self.phase, self.failures, self.heartbeat_s = "ready", 0, body["heartbeat_s"]
        self.next_ping_s = time.monotonic() + self.heartbeat_s
        if body["tx_epoch"] != self.rx_epoch and not ("wrong-epoch" in self.faults and self.rx_epoch):
            self.rx_epoch, self.rx_seq = body["tx_epoch"], 0
        held = body["rx_seq"] if body.get("rx_epoch") == self.tx_epoch else 0
        first = min(self.outbox, default=self.tx_last + 1)
        if not first - 1 <= held <= self.tx_last and "keeps-its-epoch" not in self.faults:
            rows = [row for _, row in sorted(self.outbox.items())]
            self.outbox = {at: {**row, "seq": at} for at, row in enumerate(rows, 1)}
            self.tx_epoch, self.tx_last = os.urandom(8), len(rows)
            self.say("bye", {"reason": "a new epoch"})
            self.close(1000, 0.0)
        self.outbox = {seq: row for seq, row in self.outbox.items() if seq > held}
        for row in self.outbox.values():
            self.send(b"\x01" + cbor2.dumps(row))

    def on_ack(self, _envelope: dict[str, Any], body: dict[str, Any]) -> None:
        if body["seq"] > self.tx_last:
            raise Breach(4400, "malformed")
        self.outbox = {seq: row for seq, row in self.outbox.items() if seq > body["seq"]}

    def on_ping(self, envelope: dict[str, Any], body: dict[str, Any]) -> None:
        now_us = time.time_ns() // 1000
        if "no-pong" not in self.faults:
            self.say("pong", {"n": body["n"], "t0": body["t0"], "t1": now_us, "t2": now_us}, re=envelope["id"])

    def on_pong(self, _envelope: dict[str, Any], _body: dict[str, Any]) -> None:
        self.pings.clear()

    def on_bye(self, _envelope: dict[str, Any], body: dict[str, Any]) -> None:
        self.retry_after_s = body.get("retry_after_s")

    def on_token(self, _envelope: dict[str, Any], body: dict[str, Any]) -> None:
        if "keeps-its-token" not in self.faults:
            self.token = body["token"]

    def on_pair_done(self, _envelope: dict[str, Any], body: dict[str, Any]) -> None:
        self.token, self.certificate = body.get("token"), body.get("certificate")
        self.close(1000, 4.0 if "slow-to-return" in self.faults else 0.0)

    def on_call(self, envelope: dict[str, Any], body: dict[str, Any]) -> None:
        known = self.answers.get(envelope["id"])
        durable = "seq" in envelope
        result: dict[str, Any] = {"ok": True, "value": {"uptime_us": time.monotonic_ns() // 1000}}
        if body.get("expires_ms", 2**62) < time.time() * 1000 and "calls-late" not in self.faults:
            result = {"ok": False, "error": {"code": "expired", "message": "too late"}}
        elif body["method"] != "device.info":
            result = self.done(body["method"], body["params"])
        if known is not None and not durable and "calls-again" not in self.faults:
            result = known
        self.answers[envelope["id"]] = result
        if durable:
            self.durable("result", result, re=envelope["id"])
        else:
            self.say("result", result, re=envelope["id"])

    def facts(self) -> dict[str, Any]:
        """Of its hello."""
        return {"capabilities": ["device.info"]}

    def done(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"ok": False, "error": {"code": "not_supported", "message": "no such method"}}


def check(value: object, depth: int = 8) -> None:
    """Plain data within the page's bounds."""
    if isinstance(value, (dict, list)):
        if depth == 0 or len(value) > 256:
            raise ValueError("too deep or too long")
        for member in value.values() if isinstance(value, dict) else value:
            check(member, depth - 1)
    elif isinstance(value, float) and not -1e308 < value < 1e308:
        raise ValueError("not finite")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("too large")
    elif not isinstance(value, (str, bytes, bool, int, float, type(None))):
        raise ValueError("a tag")


@contextlib.asynccontextmanager
async def running(device: PlainDevice):  # type: ignore[no-untyped-def]
    task = asyncio.create_task(device.run(), name="plain device")
    try:
        yield device
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
