from microclaw import on, pin, sleep

led = pin(13)
button = pin(14, "in", pull="up")


@on(button, "falling")
def pressed():
    led.on()
    sleep(0.2)
    led.off()
