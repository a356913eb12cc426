#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char out[200];

static void field(const char *key, const char *format, double value, bool last)
{
    char number[24];
    snprintf(number, sizeof number, format, value);
    strcat(out, "\"");
    strcat(out, key);
    strcat(out, "\":");
    strcat(out, number);
    strcat(out, last ? "}" : ",");
}

int main(void)
{
    uint64_t id = UINT64_C(0xdeadbeef12345678);
    strcpy(out, "{");
    field("temperature", "%.1f", 21.46, false);
    field("humidity", "%.0f", 45.5, false);
    field("battery", "%g", 3.7, true);
    printf("%s %zu\n", out, strlen(out));
    printf("%" PRIu64 " %" PRIx64 " %" PRId32 " %" PRIu8 "\n", id, id, INT32_C(-5), (uint8_t)200);
    char *comma = strrchr(out, ','), *found = strpbrk(out, "0123456789");
    printf("%s %c %d\n", comma, *found, (int)(strstr(out, "battery") - out));
    return 0;
}
