import time

state = "on"
while True:
    match state:
        case "on":
            print("on")
        case _:
            print("?")
    time.sleep(1)
