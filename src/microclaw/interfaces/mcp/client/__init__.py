"""The agent's own MCP servers: programs of others, whose text is never trusted."""
