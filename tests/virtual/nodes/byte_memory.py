"""An app's memory made of plain bytes, for tests that run no app."""

from __future__ import annotations

from microclaw.virtual.runtime.memory import LinearMemory, OutOfBounds


class ByteMemory(LinearMemory):
    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = bytearray(content)

    def check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > len(self.content):
            raise OutOfBounds

    def read(self, address: int, size: int) -> bytes:
        self.check(address, size)
        return bytes(self.content[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self.check(address, len(data))
        self.content[address : address + len(data)] = data
