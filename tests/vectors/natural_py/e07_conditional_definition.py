import time

FAST = False
if FAST:
    def pause():
        return "no pause"
else:
    def pause():
        time.sleep_ms(20)
        return "paused"
try:
    pause = pause
except NameError:
    pass
print(pause(), time.ticks_ms() >= 20)
