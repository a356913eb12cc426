"""The entry point of the MCP bundle: `microclaw mcp`, run by the client's uv."""

import sys

from microclaw.interfaces.cli.main import main

sys.exit(main(["mcp", *sys.argv[1:]]))
