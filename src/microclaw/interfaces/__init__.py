"""The ways in: command line, terminal, HTTP, page, MCP, channels and voice."""
