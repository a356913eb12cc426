# A night light: the LED on pin 5 is on while the module's DO on pin 6 says that it is dark. AO on pin 4 gives the lux.
from machine import ADC, Pin
from time import sleep_ms

GAMMA = 0.7
RL10 = 50000

ldr = ADC(Pin(4), atten=ADC.ATTN_11DB)
ldr.atten(ADC.ATTN_11DB)
dark = Pin(6, Pin.IN)
led = Pin(5, Pin.OUT)
count = 0

while True:
    led.value(dark.value())
    if count % 10 == 0:
        volts = ldr.read_u16() / 65535 * 3.3
        resistance = 10000 * volts / (3.3 - volts)
        lux = (RL10 * 10**GAMMA / resistance) ** (1 / GAMMA)
        print("light: %.0f lux" % lux)
    count += 1
    sleep_ms(100)
