from microclaw import every, log, pin

led = pin(13)
count = 0


def tick():
    global count
    count += 1
    led.toggle()
    if count == 3:
        log("three")


every(500, tick)
