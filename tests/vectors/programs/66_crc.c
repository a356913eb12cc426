#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t crc32(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static uint8_t crc8(const uint8_t *data, size_t size)
{
    uint8_t crc = 0;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x31 : crc << 1);
    }
    return crc;
}

int main(void)
{
    const char *texts[] = {"123456789", "microclaw", ""};
    for (int i = 0; i < 3; i++) {
        const uint8_t *data = (const uint8_t *)texts[i];
        printf("%-10s crc32 %08x crc8 %02x\n", texts[i], (unsigned)crc32(data, strlen(texts[i])), crc8(data, strlen(texts[i])));
        usleep(250000);
    }
    return 0;
}
