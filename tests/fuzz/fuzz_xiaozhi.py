"""Fuzz target: any bytes as what an unmodified xiaozhi device sends: headers, its report, messages and audio."""

from __future__ import annotations

from contextlib import suppress

from microclaw.errors import ProtocolError
from microclaw.wire import xiaozhi


def fuzz_one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(ProtocolError):
        xiaozhi.read_text(text)
    for version in (1, 2, 3):
        with suppress(ProtocolError):
            packet = xiaozhi.read_binary(data, version)
            assert packet is None or xiaozhi.read_binary(xiaozhi.write_binary(packet, version), version) == packet
    with suppress(ProtocolError):
        mac = xiaozhi.read_mac(text)
        assert xiaozhi.endpoint_of(xiaozhi.credential_of(mac)) == f"{xiaozhi.SCHEME}{mac}"
    with suppress(ProtocolError):
        xiaozhi.read_client(text)
    _report(xiaozhi.read_report(data))


def _report(report: xiaozhi.Report) -> None:
    answer = xiaozhi.configuration(report, url="ws://127.0.0.1/", now_ms=0, zone_minutes=0)
    assert answer.get("firmware", {}).get("version", "") == report.version
