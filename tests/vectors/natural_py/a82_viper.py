import micropython
import time
from machine import Pin


@micropython.viper
def checksum(data: ptr8, n: int) -> int:
    total = 0
    for i in range(n):
        total = total + data[i]
    return total


@micropython.native
def scale(x):
    return x * 3


buf = bytearray(b"hello")
print(checksum(buf, len(buf)), scale(14))
time.sleep_ms(100)
