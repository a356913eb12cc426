import microclaw


@microclaw.every(300)
def blink():
    led.on()
    microclaw.sleep(0.1)
    led.off()


led = microclaw.pin(13)
microclaw.mqtt.publish("house/led", 1)
