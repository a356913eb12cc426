/* attributes.h: WAMR's attribute containers, as its firmware reads and writes them since 2022: little-endian, without padding.
 * Flags (2 bytes), length behind them (4), tag, number of values (2), values: key, type (1), value. Texts have their length
 * with the NUL (2) before them. Programs cannot include it. */
#pragma once
#include <stdint.h>

enum { ATTRIBUTE_INT = 2, ATTRIBUTE_UINT16 = 5, ATTRIBUTE_BOOL = 12, ATTRIBUTE_STRING = 13, ATTRIBUTE_BYTES = 14 };

struct microclaw_attribute {
    const char *key, *text; /* text of a string, else 0 */
    uint32_t number;
    uint8_t type;
};

/* A container in memory of malloc's, of those that are neither 0 nor 0: the firmware takes such a value for an error. 0: no room. */
char *microclaw_attributes(const struct microclaw_attribute *values, int count);
/* How many bytes a value of this type has at AT, of which LEFT are there; 0 for what is unknown or broken. */
uint32_t microclaw_attribute_bytes(int type, const char *at, uint32_t left);
/* Where a key's value begins, and its type in *type; 0 when there is none, or the container is broken. */
const char *microclaw_attribute(const char *container, uint32_t size, const char *key, int *type);
uint32_t microclaw_attribute_number(const char *container, uint32_t size, const char *key); /* 0 when there is none */
/* The text, and how many bytes lie before its NUL in *length; 0 when there is none. */
const char *microclaw_attribute_text(const char *container, uint32_t size, const char *key, int *length);
