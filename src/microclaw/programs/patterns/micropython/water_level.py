# Water level: float switches connect their pins to ground while
# water covers them. The pump runs from when the lower one is dry
# until the upper one is covered. A level counts after five equal
# looks: water has waves.
from machine import Pin
from time import sleep_ms

LOW_PIN = 4
FULL_PIN = 5
PUMP_PIN = 6
LOOK_MS = 100

lower = Pin(LOW_PIN, Pin.IN, Pin.PULL_UP)
upper = Pin(FULL_PIN, Pin.IN, Pin.PULL_UP)
pump = Pin(PUMP_PIN, Pin.OUT, value=0)
runs = told = False
last = None
same = 0
while True:
    sleep_ms(LOOK_MS)
    levels = (lower.value(), upper.value())  # 1 is dry
    same = same + 1 if levels == last else 0
    last = levels
    if same < 4:
        continue
    fault = levels == (1, 0)
    if fault and not told:
        print("fault: the upper float is covered and the lower one is not")
    told = fault
    wanted = levels == (1, 1) or (levels == (0, 1) and runs)
    if wanted != runs:
        pump.value(wanted)
        print("pump", "on" if wanted else "off")
        runs = wanted
