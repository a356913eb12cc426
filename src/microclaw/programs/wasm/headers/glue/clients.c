/* The end of MQTT and HTTP clients: only a program that makes one has this. */
#include "glue.h"

static char has_clients;

__attribute__((weak)) void microclaw_close_mqtt(void) {}

__attribute__((weak)) void microclaw_close_http(void) {}

void microclaw_note_client(void) { has_clients = 1; }

void microclaw_close_clients(void) {
    if (has_clients) {
        microclaw_close_mqtt();
        microclaw_close_http();
    }
}
