"""The first message of an MCP client, and how long a test waits. Holds no test."""

from __future__ import annotations

TIMEOUT_S = 90.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
