"""MicroPython programs as people write them: checked, rewritten into coroutines, compiled to .mpy."""
