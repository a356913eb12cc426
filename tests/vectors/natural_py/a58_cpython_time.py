import time

start = time.perf_counter()
time.sleep(1)
print(time.perf_counter() - start)
