/* A lamp and a button at an MQTT broker, in C.
 *
 * "on" and "off" to home/lamp/set switch the lamp on pin LAMP; its state is kept at home/lamp.
 * Each press of the button on pin BUTTON (to ground) goes to home/button with its number.
 * When the board is gone the broker says so at home/board.
 */
#include <mqtt_client.h>
#include <stdio.h>
#include <string.h>

#include "microclaw.h"

#define BROKER "mqtt://192.168.1.5:1883"
#define LAMP 4
#define BUTTON 5

static esp_mqtt_client_handle_t client;
static int lamp;
static volatile int online;

static void set_lamp(int level) {
    gpio_set(lamp, level);
    esp_mqtt_client_publish(client, "home/lamp", level ? "on" : "off", 0, 1, 1); /* retained */
    printf("lamp %s\n", level ? "on" : "off");
}

static int is(const char *text, int length, const char *word) {
    return length == (int)strlen(word) && memcmp(text, word, (size_t)length) == 0;
}

static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data) {
    esp_mqtt_event_handle_t event = data;
    (void)arg, (void)base;
    switch (id) {
        case MQTT_EVENT_CONNECTED: /* also after the broker was away */
            esp_mqtt_client_subscribe(client, "home/lamp/set", 1);
            esp_mqtt_client_publish(client, "home/board", "online", 0, 1, 1);
            online = 1;
            printf("connected\n");
            break;
        case MQTT_EVENT_DISCONNECTED:
            online = 0;
            printf("disconnected\n"); /* the client tries again by itself */
            break;
        case MQTT_EVENT_DATA: /* long messages come in pieces; these are short */
            if (is(event->data, event->data_len, "on")) {
                set_lamp(1);
            } else if (is(event->data, event->data_len, "off")) {
                set_lamp(0);
            } else {
                printf("no such order: %.*s\n", event->data_len < 20 ? event->data_len : 20, event->data);
            }
            break;
        default:
            break;
    }
}

int main(void) {
    lamp = gpio_open(LAMP, GPIO_OUT);
    int button = gpio_open(BUTTON, GPIO_IN | GPIO_PULLUP);
    esp_mqtt_client_config_t config = {
        .broker.address.uri = BROKER,
        .session.last_will = {.topic = "home/board", .msg = "offline", .qos = 1, .retain = 1},
    };
    client = esp_mqtt_client_init(&config);
    esp_mqtt_client_register_event(client, MQTT_EVENT_ANY, on_event, NULL);
    esp_mqtt_client_start(client);

    int before = 1, presses = 0;
    for (;;) {
        int level = gpio_get(button);
        if (before == 1 && level == 0) {
            char text[16];
            snprintf(text, sizeof text, "%d", ++presses);
            printf("press %d%s\n", presses, online ? "" : ", nobody to tell");
            if (online) {
                esp_mqtt_client_publish(client, "home/button", text, 0, 1, 0);
            }
        }
        before = level;
        delay(20); /* what bounces shorter than that is one press */
    }
}
