import micropython
import time


@micropython.viper
def checksum(data, n: int) -> int:
    total = 0
    for i in range(n):
        total = total + int(data[i])
    return total


@micropython.native
def scale(x):
    return x * 3


buf = bytearray(b"hello")
print(checksum(buf, len(buf)), scale(14))
time.sleep_ms(100)
