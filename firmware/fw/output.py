"""`sys.stdout` and `sys.stderr` of a program, whose text goes the way of `print`: the cable is the firmware's.

Read in when a program imports `sys`.
"""

import io
import sys


class Output(io.IOBase):
    def __init__(self, env):
        self._env = env
        self.buffer = self

    def write(self, data):
        size = len(data)
        if not isinstance(data, str):
            data = bytes(data)
            try:
                data = str(data, "utf-8")
            except UnicodeError:
                data = "".join([chr(byte) if byte < 128 else "?" for byte in data])
        self._env.print(data, end="")
        return size

    def flush(self):
        pass


def own_output(env):
    """What `sys` of a program has instead of the real one's."""
    out = Output(env)

    def print_exception(exc, file=out):
        sys.print_exception(exc, file)

    return {"stdout": out, "stderr": out, "print_exception": print_exception}
