import settings


def change(speed):
    settings.speed = speed
    settings.total += speed

    def inner():
        return settings.speed

    return inner()


class Mode:
    speed = 3


print(change(7), settings.speed, settings.total, settings.mode, Mode.speed)
settings.new = 4
print(settings.new)
