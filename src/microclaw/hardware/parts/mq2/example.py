# A gas alarm: the buzzer on pin 5 beeps while DO is low; AO is printed every second.
from machine import ADC, Pin
from time import sleep_ms

analog = ADC(Pin(4), atten=ADC.ATTN_11DB)
gas = Pin(6, Pin.IN)
buzzer = Pin(5, Pin.OUT, value=0)
count = 0

while True:
    if gas.value() == 0:
        buzzer.value(not buzzer.value())
    else:
        buzzer.off()
    if count % 10 == 0:
        print("gas: %d mV" % (analog.read_uv() // 1000))
    count += 1
    sleep_ms(100)
