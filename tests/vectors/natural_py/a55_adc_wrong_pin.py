from machine import ADC, Pin

pot = ADC(Pin(5))
print(pot.read())
