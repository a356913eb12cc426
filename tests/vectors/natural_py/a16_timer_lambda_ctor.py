import machine

led = machine.Pin(12, machine.Pin.OUT)
timer = machine.Timer(1, period=400, mode=machine.Timer.PERIODIC, callback=lambda t: led.value(not led.value()))
print("running")
