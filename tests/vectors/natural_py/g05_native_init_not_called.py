import framebuf
import time


class Screen(framebuf.FrameBuffer):
    def __init__(self, buffer, w, h, form):
        time.sleep_ms(50)


s = Screen(bytearray(16), 16, 8, framebuf.MONO_VLSB)
