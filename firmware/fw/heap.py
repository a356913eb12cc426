"""Lets MicroPython's heap grow once, at the start and by little. To be imported before everything else.

A heap that is full doubles: on a chip without PSRAM it takes what Wi-Fi and TLS need, for good. So it grows while
the stack of a waiting thread holds nearly all the rest.
"""

import gc
import time

from micropython import const

try:
    import esp32
except ImportError:  # the unix port
    esp32 = None

# Beyond the first heap of 56 KB: our files, what an install reads in, and programs. About 24 KB stay for Wi-Fi beside
# a link, and a burst of frames needs them.
EXTRA_BYTES = 43_008
PSRAM_BYTES = 1 << 20
_STACK_BACK_MS = const(1000)


def _grow(largest):
    """Return a block in the new part of the heap; while the block is used, the part is not given back."""
    import _thread

    lock = _thread.allocate_lock()
    blocks = []
    lock.acquire()
    _thread.stack_size(largest - EXTRA_BYTES)
    _thread.start_new_thread(lock.acquire, ())
    _thread.stack_size(0)
    try:
        before = _idf_free()
        while _idf_free() == before:
            blocks.append(bytearray(2048))
    except MemoryError:
        # Then it does not grow.
        pass
    lock.release()
    # The idle task gives the stack back; Wi-Fi needs it next.
    for _ in range(_STACK_BACK_MS // 10):
        if max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)]) >= largest - EXTRA_BYTES - 4096:
            break
        time.sleep_ms(10)
    return blocks[-1]


def _idf_free():
    return sum([region[1] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])


def first_block():
    gc.collect()
    if hasattr(esp32, "idf_heap_info") and gc.mem_free() < PSRAM_BYTES:
        largest = max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
        if largest > 2 * EXTRA_BYTES:
            return _grow(largest)
    return bytearray(2048)
