"""What a model may call."""

from microclaw.tools.build import build_toolbox
from microclaw.tools.tool import Tool, ToolContext, ToolOutput, ToolResult
from microclaw.tools.toolbox import Toolbox

__all__ = ["Tool", "ToolContext", "ToolOutput", "ToolResult", "Toolbox", "build_toolbox"]
