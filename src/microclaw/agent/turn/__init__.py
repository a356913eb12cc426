"""The agent: a message on disk, the conversation, the turn between model and tools, the answer on its way."""
