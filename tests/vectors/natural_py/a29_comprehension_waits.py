from machine import ADC, Pin
import time

adc = ADC(Pin(34))


def sample():
    time.sleep_ms(10)
    return adc.read_u16()


values = [sample() for _ in range(5)]
print(values)
print({i: sample() // 100 for i in range(3)})
print(sum(sample() for _ in range(4)), max([sample() for _ in range(2)]))
print(any(sample() > 30000 for _ in range(20)))
print(all(sample() < 60000 for _ in range(20) if _ % 2))
nested = [[sample() + x for x in range(2)] for y in range(2)]
print(nested)
