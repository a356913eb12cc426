"""Ids of the host's messages: UUIDv7 (RFC 9562), so that they sort by time. Nothing else."""

from __future__ import annotations

import secrets
import time


def new_message_id() -> bytes:
    """16 bytes: 48 bits of Unix milliseconds, then random ones around version and variant."""
    random = bytearray(secrets.token_bytes(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + bytes(random)
