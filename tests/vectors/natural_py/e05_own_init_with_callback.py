import time


class Radio:
    def init(self, callback=None, mode=0):
        time.sleep_ms(10)
        if callback:
            callback(mode)


def ready(mode):
    print("ready", mode)


Radio().init(callback=ready, mode=3)
