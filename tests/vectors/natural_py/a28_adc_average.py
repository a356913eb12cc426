from machine import ADC, Pin
import time

pot = ADC(Pin(34))
pot.atten(ADC.ATTN_11DB)


def average(n=10):
    total = 0
    for _ in range(n):
        total += pot.read()
        time.sleep_ms(5)
    return total // n


while True:
    value = average()
    print(f"adc={value:4d} volts={value * 3.3 / 4095:.2f}")
    time.sleep(0.5)
