import time
import framebuf
from machine import Pin


class Screen(framebuf.FrameBuffer):
    def __init__(self, w, h):
        self.buffer = bytearray(w * h // 8)
        super().__init__(self.buffer, w, h, framebuf.MONO_VLSB)
        time.sleep_ms(50)


s = Screen(16, 8)
