import time
from machine import Pin

primes = []
n = 2
while len(primes) < 60:
    if all(n % p for p in primes):
        primes.append(n)
    n += 1
print(primes[-1])
Pin(13, Pin.OUT).on()
time.sleep_ms(10)
