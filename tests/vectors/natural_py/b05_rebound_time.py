import time

start = time.time()
time = 5
print(start)
