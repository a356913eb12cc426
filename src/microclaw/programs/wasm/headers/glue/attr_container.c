/* bi-inc/attr_container.h: containers that programs make and read, in the format of attributes.h. */
#include "attributes.h"
#include <bi-inc/attr_container.h>

enum { LENGTH = 2, TAG = 6, CONSTANT = 4 };

static uint32_t size_of(const attr_container_t *container) {
    uint32_t behind;
    memcpy(&behind, (const char *)container + LENGTH, sizeof behind);
    return behind + LENGTH;
}

static uint16_t short_at(const char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static const char *count_of(const attr_container_t *container) {
    const char *tag = (const char *)container + TAG;
    return tag + 2 + short_at(tag);
}

static const char *find(const attr_container_t *container, const char *key, int *type) {
    return container && key ? microclaw_attribute((const char *)container, size_of(container), key, type) : 0;
}

attr_container_t *attr_container_create(const char *tag) {
    size_t text = strlen(tag ? tag : "") + 1, size = TAG + 2 + text + 2;
    char *made = text <= UINT16_MAX ? calloc(1, size) : 0;
    if (made) {
        uint32_t behind = (uint32_t)size - LENGTH;
        memcpy(made + LENGTH, &behind, sizeof behind);
        memcpy(made + TAG, &(uint16_t){(uint16_t)text}, 2);
        memcpy(made + TAG + 2, tag ? tag : "", text);
    }
    return (attr_container_t *)made;
}

void attr_container_destroy(const attr_container_t *container) { free((void *)container); }

/* A new container with the value behind all others, in the place of the old one; HEAD is the value's length in bytes, or 0. */
static bool put(attr_container_t **container, const char *key, int type, const void *value, uint32_t bytes, int head) {
    size_t name = key ? strlen(key) + 1 : 0;
    if (!container || !*container || name < 2 || name > UINT16_MAX || attr_container_is_constant(*container)) {
        return false;
    }
    const char *old = (const char *)*container;
    uint32_t size = size_of(*container), from = size, to = size;
    int found;
    const char *there = find(*container, key, &found);
    if (there) {
        to = (uint32_t)(there - old) + microclaw_attribute_bytes(found, there, size - (uint32_t)(there - old));
        from = (uint32_t)(there - old) - 3 - (uint32_t)name;
    }
    uint32_t kept = size - (to - from), all = kept + 2 + (uint32_t)name + 1 + (uint32_t)head + bytes;
    char *made = malloc(all);
    if (!made) {
        return false;
    }
    memcpy(made, old, from);
    memcpy(made + from, old + to, size - to);
    char *at = made + kept;
    memcpy(at, &(uint16_t){(uint16_t)name}, 2);
    memcpy(at + 2, key, name);
    at[2 + name] = (char)type;
    memcpy(at + 3 + name, &bytes, (size_t)head); /* little-endian, as the format */
    memcpy(at + 3 + name + head, value, bytes);
    memcpy(made + LENGTH, &(uint32_t){all - LENGTH}, 4);
    uint16_t count = (uint16_t)(attr_container_get_attr_num(*container) + !there);
    memcpy(made + (count_of(*container) - old), &count, 2);
    free(*container);
    *container = (attr_container_t *)made;
    return true;
}

/* The value as a whole number and as a real one; false: there is none, or it is no number. */
static bool number(const char *value, int type, int64_t *whole, double *real) {
    float single;
    uint64_t bits = 0;
    uint32_t bytes = value && type <= ATTR_TYPE_BOOLEAN ? microclaw_attribute_bytes(type, value, sizeof bits) : 0;
    if (!bytes) {
        return false;
    }
    memcpy(&bits, value, bytes);
    int unused = 64 - 8 * (int)bytes;
    *whole = type <= ATTR_TYPE_INT64 ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
    *real = type == ATTR_TYPE_UINT64 ? (double)bits : (double)*whole;
    if (type == ATTR_TYPE_FLOAT) {
        memcpy(&single, value, sizeof single);
        *real = single;
    } else if (type == ATTR_TYPE_DOUBLE) {
        memcpy(real, value, sizeof *real);
    }
    if (type == ATTR_TYPE_FLOAT || type == ATTR_TYPE_DOUBLE) {
        *whole = *real > -9e18 && *real < 9e18 ? (int64_t)*real : 0;
    }
    return true;
}

#define KIND_byte ATTR_TYPE_BYTE
#define KIND_int8 ATTR_TYPE_INT8
#define KIND_short ATTR_TYPE_SHORT
#define KIND_int16 ATTR_TYPE_INT16
#define KIND_int ATTR_TYPE_INT
#define KIND_int32 ATTR_TYPE_INT32
#define KIND_int64 ATTR_TYPE_INT64
#define KIND_uint8 ATTR_TYPE_UINT8
#define KIND_uint16 ATTR_TYPE_UINT16
#define KIND_uint32 ATTR_TYPE_UINT32
#define KIND_uint64 ATTR_TYPE_UINT64
#define KIND_float ATTR_TYPE_FLOAT
#define KIND_double ATTR_TYPE_DOUBLE
#define MICROCLAW_ATTRIBUTE_(name, kind) \
    bool attr_container_set_##name(attr_container_t **container, const char *key, kind value) { \
        return put(container, key, KIND_##name, &value, sizeof value, 0); \
    } \
    kind attr_container_get_as_##name(const attr_container_t *container, const char *key) { \
        int64_t whole = 0; \
        double real = 0; \
        int type = 0; \
        number(find(container, key, &type), type, &whole, &real); \
        return KIND_##name == ATTR_TYPE_FLOAT || KIND_##name == ATTR_TYPE_DOUBLE ? (kind)real : (kind)whole; \
    }
MICROCLAW_ATTRIBUTES_

bool attr_container_set_bool(attr_container_t **container, const char *key, bool value) {
    return put(container, key, ATTR_TYPE_BOOLEAN, &value, sizeof value, 0);
}

bool attr_container_get_as_bool(const attr_container_t *container, const char *key) {
    return attr_container_get_as_int64(container, key) != 0;
}

bool attr_container_set_string(attr_container_t **container, const char *key, const char *value) {
    size_t bytes = value ? strlen(value) + 1 : 0;
    return bytes && bytes <= UINT16_MAX && put(container, key, ATTR_TYPE_STRING, value, (uint32_t)bytes, 2);
}

bool attr_container_set_bytearray(attr_container_t **container, const char *key, const int8_t *value, unsigned length) {
    return value && put(container, key, ATTR_TYPE_BYTEARRAY, value, length, 4);
}

char *attr_container_get_as_string(const attr_container_t *container, const char *key) {
    int type;
    const char *value = find(container, key, &type);
    return value && type == ATTR_TYPE_STRING ? (char *)value + 2 : 0;
}

const int8_t *attr_container_get_as_bytearray(const attr_container_t *container, const char *key, unsigned *length) {
    int type;
    const char *value = find(container, key, &type);
    if (!value || type != ATTR_TYPE_BYTEARRAY) {
        return 0;
    }
    memcpy(length, value, 4);
    return (const int8_t *)value + 4;
}

bool attr_container_contain_key(const attr_container_t *container, const char *key) {
    int type;
    return find(container, key, &type) != 0;
}

const char *attr_container_get_tag(const attr_container_t *container) {
    return container ? (const char *)container + TAG + 2 : 0;
}

uint16_t attr_container_get_attr_num(const attr_container_t *container) { return container ? short_at(count_of(container)) : 0; }

unsigned attr_container_get_serialize_length(const attr_container_t *container) { return container ? size_of(container) : 0; }

bool attr_container_serialize(char *buffer, const attr_container_t *container) {
    if (!buffer || !container) {
        return false;
    }
    memcpy(buffer, container, size_of(container));
    buffer[0] |= CONSTANT; /* what was received is not changed */
    return true;
}

bool attr_container_is_constant(const attr_container_t *container) { return container && container->flags[0] & CONSTANT; }

void attr_container_dump(const attr_container_t *container) {
    if (!container) {
        return;
    }
    const char *start = (const char *)container, *at = count_of(container) + 2;
    uint32_t size = size_of(container);
    printf("attributes of \"%s\":\n", attr_container_get_tag(container));
    for (uint16_t left = attr_container_get_attr_num(container); left && (uint32_t)(at - start) + 3 < size; left--) {
        const char *key = at + 2;
        at += 2 + short_at(at);
        int type = (uint8_t)*at++;
        uint32_t bytes = microclaw_attribute_bytes(type, at, size - (uint32_t)(at - start));
        int64_t whole;
        double real;
        if (type == ATTR_TYPE_STRING && bytes > 2) {
            printf("  %s: \"%s\"\n", key, at + 2);
        } else if (type == ATTR_TYPE_BYTEARRAY || !bytes || !number(at, type, &whole, &real)) {
            printf("  %s: %u bytes\n", key, (unsigned)bytes);
        } else if (type == ATTR_TYPE_FLOAT || type == ATTR_TYPE_DOUBLE) {
            printf("  %s: about %d\n", key, (int)whole);
        } else {
            printf("  %s: %d\n", key, (int)whole);
        }
        if (!bytes) {
            return;
        }
        at += bytes;
    }
}
