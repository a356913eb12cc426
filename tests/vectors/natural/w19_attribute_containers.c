#include "wasm_app.h"
#include "wa-inc/request.h"

static void on_reading(request_t *event)
{
    attr_container_t *reading = (attr_container_t *)event->payload;
    unsigned length = 0;
    if (event->fmt != FMT_ATTR_CONTAINER)
        return;
    const int8_t *raw = attr_container_get_as_bytearray(reading, "raw", &length);
    printf("tag %s with %d of %d bytes\n", attr_container_get_tag(reading), attr_container_get_attr_num(reading),
           event->payload_len);
    printf("room %s, level %d, tenths %d, raw %u ends %d, on %d, old %d\n", attr_container_get_as_string(reading, "room"),
           attr_container_get_as_int(reading, "level"), (int)(attr_container_get_as_float(reading, "share") * 10), length,
           raw[length - 1], attr_container_get_as_bool(reading, "on"), attr_container_contain_key(reading, "old"));
    attr_container_dump(reading);
}

void on_init()
{
    const int8_t raw[] = {1, 2, -3};
    attr_container_t *reading = attr_container_create("reading");
    api_subscribe_event("room/reading", on_reading);
    attr_container_set_string(&reading, "room", "hall");
    attr_container_set_int16(&reading, "level", 5);
    attr_container_set_float(&reading, "share", 2.5f);
    attr_container_set_bytearray(&reading, "raw", raw, sizeof raw);
    attr_container_set_bool(&reading, "on", true);
    attr_container_set_int64(&reading, "level", -70000);
    attr_container_set_string(&reading, "room", "kitchen");
    api_publish_event("room/reading", FMT_ATTR_CONTAINER, reading, attr_container_get_serialize_length(reading));
    attr_container_destroy(reading);
}
