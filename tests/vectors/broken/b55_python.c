import machine

led = machine.Pin(2)
