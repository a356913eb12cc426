"""MQTT and HTTP in programs: what compiles, by every compiler there is, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.boards import BoardProfile
from microclaw.errors import BuildError

# As LLMos's document has it, in the JavaScript text around it.
LLMOS_SENSOR = """
    #include <stdio.h>
    #include <string.h>
    #include <unistd.h>

    extern int wasm_mqtt_init(const char *broker_uri, const char *client_id);
    extern int wasm_mqtt_publish(int handle, const char *topic, const char *data, int len, int qos);

    int main() {
        int mqtt = wasm_mqtt_init("mqtt://broker.hivemq.com:1883", "esp32-001");

        while (1) {
            float temp = read_temperature(); // Your sensor function
            char payload[64];
            snprintf(payload, sizeof(payload), "{\\"temperature\\":%.2f}", temp);
            wasm_mqtt_publish(mqtt, "sensors/temp", payload, strlen(payload), 1);
            sleep(60);
        }
        return 0;
    }
"""
BOTH = """
#include <esp_crt_bundle.h>
#include <esp_http_client.h>
#include <mqtt_client.h>
int main() {
    esp_mqtt_client_config_t mqtt = {};
    mqtt.broker.address.uri = "mqtt://broker";
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&mqtt);
    ESP_ERROR_CHECK(esp_mqtt_client_start(client));
    esp_http_client_config_t http = {};
    http.url = "https://host/";
    http.crt_bundle_attach = esp_crt_bundle_attach;
    return esp_http_client_perform(esp_http_client_init(&http));
}
"""


async def test_llmos_sensor_compiles_as_it_is_written(compile_c: Any) -> None:
    image = await compile_c(LLMOS_SENSOR)
    names = {wanted.name for wanted in image.imports}
    assert {"wasm_mqtt_init", "wasm_mqtt_start", "wasm_mqtt_publish"} <= names
    assert "on_mqtt_dispatch_event" in image.exports
    assert [found.line for found in image.warnings] == [10, 13]


@pytest.mark.parametrize("group", ["mqtt", "http"])
async def test_firmware_without_a_client_refuses_by_name(compile_c: Any, board: BoardProfile, group: str) -> None:
    lacking = replace(board.firmware, native_groups=board.firmware.native_groups - {group})
    with pytest.raises(BuildError) as caught:
        await compile_c(BOTH.replace("{}", "{0}"), board=replace(board, firmware=lacking))
    assert f"esp_{group}_" in (caught.value.diagnostics[0].source_line or "")
