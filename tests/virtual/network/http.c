#include <esp_http_client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static esp_err_t on_event(esp_http_client_event_t *e) {
    if (e->event_id == HTTP_EVENT_ON_HEADER) {
        if (strncmp(e->header_key, "Location", 8) == 0) printf("to %.4s\n", e->header_value);
    } else if (e->event_id == HTTP_EVENT_ON_DATA) {
        printf("data %d %.3s\n", e->data_len, (char *)e->data);
    } else {
        printf("event %d %s\n", e->event_id, (char *)e->user_data);
    }
    return ESP_OK;
}
int main(void) {
    char buffer[64];
    esp_http_client_config_t config = {.url = "URL", .event_handler = on_event, .user_data = "me", .timeout_ms = 40000};
    esp_http_client_handle_t client = esp_http_client_init(&config);
    (void)buffer;
    MORE
    printf("over\n");
}
