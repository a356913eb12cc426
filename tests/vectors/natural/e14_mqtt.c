#include "mqtt_client.h"
#include "esp_log.h"

void app_main(void)
{
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://broker.local"};
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
    esp_mqtt_client_start(client);
    esp_mqtt_client_publish(client, "home/state", "on", 0, 1, 0);
}
