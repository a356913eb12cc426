from microclaw import adc, neopixel, pwm, servo, sleep

light = pwm(12, freq=1000, duty=10)
arm = servo(18)
leds = neopixel(13, 2)
knob = adc(1)
leds.fill("red")
for angle in (0, 90):
    arm.angle(angle)
    sleep(0.1)
light.duty(50)
leds.set(1, (0, 0, 9))
print(knob.volts() < 3.4, 0 <= knob.percent() <= 100)
