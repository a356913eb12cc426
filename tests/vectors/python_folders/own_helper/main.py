import lamp

lamp.on()
lamp.speed = 2
print(lamp.speed, lamp.faster())
