"""`sys.stdout` and `sys.stderr` of a program: its text goes the way of `print`, as the cable is the firmware's."""

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
    out = Output(env)
    return {
        "stdout": out, "stderr": out, "print_exception": lambda exc, file=out: sys.print_exception(exc, file)
    }  # fmt: skip
