"""Clients of the host's API, for the command line (blocking) and for MCP (asynchronous). They start no host."""
