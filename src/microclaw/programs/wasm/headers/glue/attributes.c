/* The containers of attributes.h. */
#include "attributes.h"
#include <stdlib.h>
#include <string.h>

enum { HEAD = 2 + 4 + 2 + 1 + 2 };

static int size_of(const struct microclaw_attribute *value) {
    if (value->type == ATTRIBUTE_STRING ? !value->text : !value->number) {
        return 0;
    }
    int bytes = value->type == ATTRIBUTE_STRING ? 2 + (int)strlen(value->text) + 1
                : value->type == ATTRIBUTE_INT  ? 4
                : value->type == ATTRIBUTE_BOOL ? 1
                                                : 2;
    return 2 + (int)strlen(value->key) + 1 + 1 + bytes;
}

static char *put(char *at, int bytes, uint32_t value) {
    for (; bytes; bytes--, value >>= 8) {
        *at++ = (char)value;
    }
    return at;
}

static char *put_text(char *at, const char *text) {
    uint32_t size = (uint32_t)strlen(text) + 1;
    at = put(at, 2, size);
    memcpy(at, text, size);
    return at + size;
}

char *microclaw_attributes(const struct microclaw_attribute *values, int count) {
    int size = HEAD, told = 0;
    for (int i = 0; i < count; i++) {
        int bytes = size_of(&values[i]);
        size += bytes;
        told += bytes != 0;
        if (values[i].type == ATTRIBUTE_STRING && values[i].text && strlen(values[i].text) >= UINT16_MAX) {
            return 0;
        }
    }
    char *container = malloc((size_t)size);
    if (!container) {
        return 0;
    }
    char *at = put(put(container, 2, 0), 4, (uint32_t)size - 2);
    at = put(put_text(at, ""), 2, (uint32_t)told);
    for (int i = 0; i < count; i++) {
        const struct microclaw_attribute *value = &values[i];
        if (!size_of(value)) {
            continue;
        }
        at = put_text(at, value->key);
        *at++ = (char)value->type;
        at = value->type == ATTRIBUTE_STRING ? put_text(at, value->text)
             : put(at, value->type == ATTRIBUTE_INT ? 4 : value->type == ATTRIBUTE_BOOL ? 1 : 2, value->number);
    }
    return container;
}

static uint32_t take(const char *at, int bytes) {
    uint32_t value = 0;
    while (bytes--) {
        value = value << 8 | (uint8_t)at[bytes];
    }
    return value;
}

uint32_t microclaw_attribute_bytes(int type, const char *at, uint32_t left) {
    static const uint8_t fixed[] = {1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 4, 8, 1};
    if (type < (int)sizeof fixed) {
        return fixed[type] <= left ? fixed[type] : 0;
    }
    int head = type == ATTRIBUTE_STRING ? 2 : type == ATTRIBUTE_BYTES ? 4 : 0;
    if (!head || left < (uint32_t)head) {
        return 0;
    }
    uint32_t size = take(at, head);
    return size <= left - (uint32_t)head ? size + (uint32_t)head : 0;
}

const char *microclaw_attribute(const char *container, uint32_t size, const char *key, int *type) {
    uint32_t at = 6;
    if (size < HEAD || take(container + at, 2) > size - HEAD + 1) {
        return 0;
    }
    at += 2 + take(container + at, 2);
    uint32_t count = take(container + at, 2);
    for (at += 2; count--;) {
        uint32_t key_bytes = size - at > 2 ? take(container + at, 2) : 0;
        if (!key_bytes || key_bytes + 3 > size - at || container[at + 1 + key_bytes]) {
            return 0;
        }
        const char *name = container + at + 2;
        at += 2 + key_bytes + 1;
        *type = (uint8_t)container[at - 1];
        uint32_t bytes = microclaw_attribute_bytes(*type, container + at, size - at);
        if (!bytes) {
            return 0;
        }
        if (strcmp(name, key) == 0) {
            return container + at;
        }
        at += bytes;
    }
    return 0;
}

uint32_t microclaw_attribute_number(const char *container, uint32_t size, const char *key) {
    int type;
    const char *value = microclaw_attribute(container, size, key, &type);
    return value && type == ATTRIBUTE_INT ? take(value, 4) : value && type == ATTRIBUTE_BOOL ? take(value, 1) : 0;
}

const char *microclaw_attribute_text(const char *container, uint32_t size, const char *key, int *length) {
    int type;
    const char *value = microclaw_attribute(container, size, key, &type);
    if (!value || type != ATTRIBUTE_STRING || !take(value, 2)) {
        return 0;
    }
    *length = (int)take(value, 2) - 1;
    return value + 2;
}
