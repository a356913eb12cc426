"""The host of bench.ota: the device plane with one published payload, and a plain TLS server of that file."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import secrets
import signal
import sqlite3
import ssl
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.link_host import LIMITS, Answering, host_identity, known_device, link_parts
from bench.paced_stream import Pacer
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.listener import Listener
from microclaw.devices.link.meter import LinkMeter
from microclaw.devices.ota.payloads import OfferedPayloads, Payloads
from microclaw.host.store.database import Database
from microclaw.host.store.firmware import FirmwareTable, ReleaseRow, add_offer
from microclaw.interfaces.api.server import tcp_listener

SIZES: Final = (2 << 20, 16 << 20)
"""Of an ordinary image, and the largest payload that there is."""
DEVICE: Final = "bench"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetching", type=int, default=0, help="so many devices may fetch, and the host speaks")
    fetching: int = parser.parse_args().fetching
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mc-bench-")))
        database = await stack.enter_async_context(Database.open(folder / "microclaw.db"))
        answering = Answering(pacer := Pacer())
        links = await LinkRegistry.open(link_parts(database, open_audio=answering.open_audio if fetching else None))
        payloads = Payloads(folder / "firmware")
        table = FirmwareTable(database)
        payloads.open(frozenset())
        links.parts.updates.source = OfferedPayloads(table, payloads)
        names = [f"fetching-{number}" for number in range(fetching)]
        digests = [await _publish(database, table, payloads, size, (DEVICE, *names)) for size in SIZES]
        listener = stack.enter_context(tcp_listener("127.0.0.1", 0))
        identity = await host_identity(folder / "identity", database, listener.getsockname()[1])
        issued = await identity.credentials.grant(DEVICE)
        assert issued is not None
        tokens = await asyncio.gather(*(identity.credentials.grant(name) for name in names))
        server = Listener(links, identity, limits=LIMITS, meter=LinkMeter(), find_owner=known_device)
        await stack.enter_async_context(server.serving(listener, identity.authority.server_context()))
        plain = stack.enter_context(_plain_server(folder / "firmware", identity.authority.server_context()))
        ready = {
            "pid": os.getpid(),
            "port": listener.getsockname()[1],
            "plain_port": plain,
            "ca": identity.authority.ca_pem.decode(),
            "token": issued.token,
            "digests": digests,
            "sizes": SIZES,
            "fetching": [each.token for each in tokens if each is not None],
        }
        print(json.dumps(ready), flush=True)
        pacing = asyncio.create_task(pacer.run(), name="pacer")
        await stop.wait()
        pacing.cancel()


async def _publish(
    database: Database, table: FirmwareTable, payloads: Payloads, size: int, devices: Sequence[str]
) -> str:
    """A payload that the devices were offered; its SHA-256."""
    data = secrets.token_bytes(size)
    sha256 = hashlib.sha256(data).hexdigest()
    payloads.path(sha256).write_bytes(data)
    named: dict[str, Any] = {"kind": "files", "name": "bench", "board": "esp32s3", "channel": "stable", "device": ""}
    release = await table.publish(
        ReleaseRow(
            **named,
            version=f"1.0.{size >> 20}",
            security_version=0,
            allow_downgrade=False,
            sha256=sha256,
            size_bytes=len(data),
            key_id="0" * 16,
            created="",
            expires="",
            manifest=sha256.encode(),
            signature=bytes(384),
            published_ms=0,
            published_by="bench",
            revisions=(),
        )
    )
    for device in devices:
        await database.write(partial(_offer, device=device, release=release))
    return sha256


def _offer(connection: sqlite3.Connection, *, device: str, release: ReleaseRow) -> None:
    add_offer(connection, device, release, "bench", 0, again=False)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def _plain_server(folder: Path, tls: ssl.SSLContext) -> Iterator[int]:
    """Python's own file server behind TLS, in threads of its own; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, name="plain file server", daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
