import _thread
import time


def blink():
    while True:
        time.sleep(1)


_thread.start_new_thread(blink, ())
