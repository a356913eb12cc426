"""MCP, both ways: other assistants drive the boards through this host, and its agent uses others' servers."""
