"""The agent's own MCP servers: other people's programs, whose words are never trusted."""
