"""The hosts that C programs and sketches name are found in their texts."""

from __future__ import annotations

from tests.programs.wasm.conftest import CompileC

from microclaw.network_use import NO_NETWORK, NetworkUse

SKETCH = """
#include <HTTPClient.h>
#include <PubSubClient.h>
#include <WiFi.h>
#define HOST "API.example.org"
WiFiClient wifi;
PubSubClient broker(wifi);
void setup() {
    HTTPClient http;
    http.begin("http://" HOST ":8081/x?q=1");
    http.GET();
    broker.setServer("192.168.1.5", 1883);
    Serial.println("read example.com");
    Serial.println("data.csv");
    Serial.println("127.0.0.1");
}
void loop() {
    broker.loop();
    delay(1000);
}
"""


async def test_hosts_of_urls_and_names_are_found_also_where_they_are_put_together(compile_c: CompileC) -> None:
    image = await compile_c(SKETCH, name="weather", language="sketch")
    assert image.network == NetworkUse(("192.168.1.5", "api.example.org:8081"))


async def test_a_program_without_a_client_talks_to_nobody(compile_c: CompileC) -> None:
    image = await compile_c('#include <stdio.h>\nvoid on_init(void) { puts("http://api.example.org"); }', name="text")
    assert image.network == NO_NETWORK


async def test_a_server_of_the_clock_is_asked_by_nobody(compile_c: CompileC) -> None:
    source = SKETCH.replace("#define", 'const char *ntp = "pool.ntp.org";\n#define').replace(
        "HTTPClient http;", 'configTime(3600, 0, ntp, "time.nist.gov");\n    HTTPClient http;'
    )
    image = await compile_c(source, name="weather", language="sketch")
    assert image.network == NetworkUse(("192.168.1.5", "api.example.org:8081"))
