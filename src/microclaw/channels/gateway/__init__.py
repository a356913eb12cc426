"""The chat gateway: MimiClaw's WebSocket protocol on port 18789 (docs/protocols/chat-gateway.md)."""
