import machine
import time

errors = 0
while True:
    time.sleep(1)
    errors += 1
    if errors > 3:
        machine.reset()
