"""The agent on the chip, after MimiClaw's; only on boards with PSRAM. The host's agent goes first (life.py)."""
