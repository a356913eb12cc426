"""`microclaw mcp`: other assistants drive the boards through this host."""
