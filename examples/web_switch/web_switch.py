from machine import Pin
from microclaw import web

lamp = Pin(2, Pin.OUT)
app = web.App()

PAGE = """<!doctype html>
<title>Lamp</title>
<h1>The lamp is %s</h1>
<a href="%son">On</a> <a href="%soff">Off</a>
"""


# The links are relative, as the host serves the page below /app/web_switch/.
def page(folder):
    state = "on" if lamp.value() else "off"
    return PAGE % (state, folder, folder)


@app.route("/")
def home(request):
    return page("led/")


@app.route("/led/<state>")
def switch(request, state):
    if state not in ("on", "off"):
        return "There is no such state", 404
    lamp.value(state == "on")
    print("lamp", state)
    return page("")


app.run(port=80)
