"""Sketches on the network, tried: weather over HTTP, a lamp over MQTT, pages with a switch, and the time."""

from __future__ import annotations

from pathlib import Path

from tests.programs.conftest import tried

WEATHER = r"""
#include <WiFi.h>
#include <HTTPClient.h>
const char *ssid = "home";
const char *password = "secret";
void setup() {
    Serial.begin(115200);
    WiFi.mode(WIFI_STA);
    WiFi.begin(ssid, password);
    while (WiFi.status() != WL_CONNECTED) {
        delay(500);
        Serial.print(".");
    }
    Serial.println("connected");
}
void loop() {
    if (WiFi.status() == WL_CONNECTED) {
        HTTPClient http;
        http.begin("http://api.example.org/weather?city=Bonn");
        int status = http.GET();
        if (status > 0) {
            String body = http.getString();
            int at = body.indexOf("\"t\":");
            Serial.println("outside " + body.substring(at + 4, body.indexOf('}')));
        } else {
            Serial.println("Error code: " + String(status));
        }
        http.end();
        http.begin("http://api.example.org/log");
        http.addHeader("Content-Type", "application/x-www-form-urlencoded");
        http.POST("t=" + String(status));
        http.end();
    }
    delay(5000);
}
"""
LAMP = r"""
#include <WiFi.h>
#include <PubSubClient.h>
const char *broker = "mqtt.example.org";
WiFiClient espClient;
PubSubClient client(espClient);
unsigned long last = 0;
void callback(char *topic, byte *message, unsigned int length) {
    String text;
    for (unsigned int i = 0; i < length; i++) {
        text += (char)message[i];
    }
    if (String(topic) == "home/lamp") {
        digitalWrite(2, text == "on" ? HIGH : LOW);
        delay(50);
        client.publish("home/lamp/state", text.c_str());
    }
}
void reconnect() {
    while (!client.connected()) {
        if (client.connect("lamp")) {
            client.subscribe("home/lamp");
        } else {
            Serial.print("failed, rc=");
            Serial.println(client.state());
            delay(5000);
        }
    }
}
void setup() {
    pinMode(2, OUTPUT);
    WiFi.begin("home", "secret");
    client.setServer(broker, 1883);
    client.setCallback(callback);
}
void loop() {
    if (!client.connected()) {
        reconnect();
    }
    client.loop();
    if (millis() - last > 1000) {
        last = millis();
        char text[8];
        dtostrf(20.5, 1, 2, text);
        client.publish("home/temperature", text);
    }
}
"""
PAGE = r"""
#include <WiFi.h>
#include <WebServer.h>
WebServer server(80);
String page() {
    String text = "<html><body><h1>lamp</h1>";
    text += digitalRead(2) ? "<p>is on <a href=\"off\">off</a></p>" : "<p>is off <a href=\"on\">on</a></p>";
    return text + "</body></html>";
}
void setup() {
    pinMode(2, OUTPUT);
    WiFi.begin("home", "secret");
    server.on("/", []() { server.send(200, "text/html", page()); });
    server.on("/on", []() {
        digitalWrite(2, HIGH);
        server.send(200, "text/html", page());
    });
    server.onNotFound([]() { server.send(404, "text/plain", "Not found"); });
    server.begin();
}
void loop() {
    server.handleClient();
}
"""
ASYNC = r"""
#include <WiFi.h>
#include <ESPAsyncWebServer.h>
AsyncWebServer server(80);
const char page[] PROGMEM = "<input type=\"range\" value=\"%LEVEL%\">";
int level = 0;
String processor(const String &name) {
    return name == "LEVEL" ? String(level) : String();
}
void setup() {
    WiFi.begin("home", "secret");
    analogWrite(2, level);
    server.on("/", HTTP_GET, [](AsyncWebServerRequest *request) {
        request->send_P(200, "text/html", page, processor);
    });
    server.on("/slider", HTTP_GET, [](AsyncWebServerRequest *request) {
        if (request->hasParam("value")) {
            level = request->getParam("value")->value().toInt();
            analogWrite(2, level);
        }
        request->send(200, "text/plain", "OK");
    });
    server.begin();
}
void loop() {}
"""
CLOCK = r"""
#include <WiFi.h>
#include <NTPClient.h>
#include <WiFiUdp.h>
#include <time.h>
WiFiUDP udp;
NTPClient timeClient(udp, "pool.ntp.org", 3600);
void setup() {
    WiFi.begin("home", "secret");
    timeClient.begin();
    while (!timeClient.update()) {
        timeClient.forceUpdate();
    }
    configTime(3600, 3600, "pool.ntp.org");
    struct tm now;
    time_t seconds = time(nullptr);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    Serial.println(getLocalTime(&now) ? "set" : "not set");
    int ahead = timeClient.getHours() - utc.tm_hour;
    Serial.printf("hours %d %d\n", (now.tm_hour - utc.tm_hour + 24) % 24, (ahead + 24) % 24);
}
void loop() {
    Serial.println(timeClient.getFormattedTime());
    delay(1000);
}
"""


async def test_weather_over_http(build_cache: Path) -> None:
    expect = """
http GET api.example.org/weather?city=Bonn -> 200 {"t":21}
http POST api.example.org/log -> 201
http POST api.example.org/log ~ "t=200" every 5 s
log ~ "outside 21" within 2 s
"""
    trial = await tried(WEATHER, build_cache, expect)
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])
    refused = await tried(WEATHER, build_cache, 'http GET api.example.org/weather -> refused\nlog ~ "Error code: -1"')
    assert refused.expected[-1].trial == "met", refused.summary()


async def test_a_lamp_over_mqtt(build_cache: Path) -> None:
    """Its callback waits, as it is called by loop()."""
    expect = """
mqtt broker mqtt.example.org
at 2 s, 6 s mqtt home/lamp "on"
at 4 s mqtt home/lamp "off"
pin 2: rises at 2 s, 6 s
mqtt home/lamp/state ~ "off" within 5 s
mqtt home/temperature ~ "20.50" every 1 s
"""
    trial = await tried(LAMP, build_cache, expect)
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])


async def test_a_signed_time_that_begins_at_0_is_no_fault_of_a_board_that_is_up_for_long(build_cache: Path) -> None:
    """The trial of a clock that starts again begins where a signed time is negative, as no real start does."""
    signed = LAMP.replace("unsigned long last", "long last").replace("millis() - last", "(long)millis() - last")
    expect = 'mqtt broker mqtt.example.org\nmqtt home/temperature ~ "20.50" every 1 s'
    trial = await tried(signed, build_cache, expect)
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])
    wrong = LAMP.replace("millis() - last > 1000", "millis() > last + 1000")
    trial = await tried(wrong, build_cache, expect)
    assert trial.proof == "not met", "this one stops when the clock starts again"


async def test_messages_that_loop_does_not_take_in_time_are_told_as_lost(build_cache: Path) -> None:
    source = LAMP.replace("    client.loop();", "    delay(5000);\n    client.loop();").replace("    delay(50);\n", "")
    lines = ["mqtt broker mqtt.example.org", *(f'at 2 s mqtt home/lamp "{number}"' for number in range(11))]
    lines += ['log ~ "PubSubClient: 3 messages were lost: .*"', 'mqtt home/lamp/state 8 times ~ "[0-7]"', "for 6 s"]
    trial = await tried(source, build_cache, "\n".join(lines))
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])


async def test_a_page_with_a_switch(build_cache: Path) -> None:
    expect = """
at 1 s http GET :80/ -> 200 ~ "is off"
at 2 s http GET :80/on -> 200 ~ "is on"
at 3 s http GET :80/nothing -> 404
pin 2: rises at 2 s
"""
    trial = await tried(PAGE, build_cache, expect)
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])


async def test_a_page_with_a_slider(build_cache: Path) -> None:
    expect = """
at 1 s http GET :80/slider?value=128 -> 200 ~ "OK"
at 2 s http GET :80/ -> 200 ~ "value=.128."
pwm 2: 50 % at 1.5 s
"""
    trial = await tried(ASYNC, build_cache, expect)
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])


async def test_the_time(build_cache: Path) -> None:
    trial = await tried(CLOCK, build_cache, 'log ~ "set"\nlog ~ "hours 2 1"\nlog every 1 s ~ "[0-9:]+"')
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])


async def test_a_page_that_is_longer_than_the_usual_heap(build_cache: Path) -> None:
    text = PAGE.replace("<h1>lamp</h1>", "<h1>lamp</h1>" + "<p>a long page</p>" * 500)
    trial = await tried(text, build_cache, 'at 1 s http GET :80/ -> 200 ~ "a long page"')
    assert trial.proof == "met in the trial", (trial.error, trial.log[:5])
    assert trial.peak_heap_bytes > 16_000
