import time

attempts = 0


def flaky():
    global attempts
    attempts += 1
    time.sleep_ms(10)
    if attempts < 4:
        raise OSError(attempts)
    return "fine"


def retry(fn, times=5, delay=0.1):
    for n in range(times):
        try:
            return fn()
        except OSError as e:
            print("failed", e.args[0])
            time.sleep(delay)
            delay *= 2
    raise RuntimeError("gave up")


print(retry(flaky))
