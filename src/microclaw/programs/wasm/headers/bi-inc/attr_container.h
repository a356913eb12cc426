/* bi-inc/attr_container.h: WAMR's attribute containers: named values in one piece of memory, as requests and events carry them
 * (FMT_ATTR_CONTAINER). A set that finds no memory, a key of no letters or a container that is broken returns false. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
enum {
    ATTR_TYPE_BYTE = 0,
    ATTR_TYPE_INT8 = 0,
    ATTR_TYPE_SHORT = 1,
    ATTR_TYPE_INT16 = 1,
    ATTR_TYPE_INT = 2,
    ATTR_TYPE_INT32 = 2,
    ATTR_TYPE_INT64,
    ATTR_TYPE_UINT8,
    ATTR_TYPE_UINT16,
    ATTR_TYPE_UINT32,
    ATTR_TYPE_UINT64,
    ATTR_TYPE_FLOAT = 10,
    ATTR_TYPE_DOUBLE,
    ATTR_TYPE_BOOLEAN,
    ATTR_TYPE_STRING,
    ATTR_TYPE_BYTEARRAY
};
typedef struct attr_container {
    char flags[2], buf[1];
} attr_container_t;
attr_container_t *attr_container_create(const char *tag);
void attr_container_destroy(const attr_container_t *container);
#define MICROCLAW_ATTRIBUTE_(name, type) \
    bool attr_container_set_##name(attr_container_t **container, const char *key, type value); \
    type attr_container_get_as_##name(const attr_container_t *container, const char *key);
#define MICROCLAW_ATTRIBUTES_ \
    MICROCLAW_ATTRIBUTE_(byte, int8_t) \
    MICROCLAW_ATTRIBUTE_(int8, int8_t) \
    MICROCLAW_ATTRIBUTE_(short, short) \
    MICROCLAW_ATTRIBUTE_(int16, int16_t) \
    MICROCLAW_ATTRIBUTE_(int, int) \
    MICROCLAW_ATTRIBUTE_(int32, int32_t) \
    MICROCLAW_ATTRIBUTE_(int64, int64_t) \
    MICROCLAW_ATTRIBUTE_(uint8, uint8_t) \
    MICROCLAW_ATTRIBUTE_(uint16, uint16_t) \
    MICROCLAW_ATTRIBUTE_(uint32, uint32_t) \
    MICROCLAW_ATTRIBUTE_(uint64, uint64_t) \
    MICROCLAW_ATTRIBUTE_(float, float) \
    MICROCLAW_ATTRIBUTE_(double, double)
MICROCLAW_ATTRIBUTES_
bool attr_container_set_bool(attr_container_t **container, const char *key, bool value);
bool attr_container_get_as_bool(const attr_container_t *container, const char *key);
#undef MICROCLAW_ATTRIBUTE_
bool attr_container_set_string(attr_container_t **container, const char *key, const char *value);
bool attr_container_set_bytearray(attr_container_t **container, const char *key, const int8_t *value, unsigned length);
char *attr_container_get_as_string(const attr_container_t *container, const char *key);
const int8_t *attr_container_get_as_bytearray(const attr_container_t *container, const char *key, unsigned *length);
bool attr_container_contain_key(const attr_container_t *container, const char *key);
const char *attr_container_get_tag(const attr_container_t *container);
uint16_t attr_container_get_attr_num(const attr_container_t *container);
unsigned attr_container_get_serialize_length(const attr_container_t *container);
bool attr_container_serialize(char *buffer, const attr_container_t *container);
bool attr_container_is_constant(const attr_container_t *container);
void attr_container_dump(const attr_container_t *container);
#ifdef __cplusplus
}
#endif
