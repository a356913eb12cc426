/* spi.h: /dev/spi/N, on firmware that has it (stock builds do not). N is the SPI host: 1 and 2 on the ESP32 and ESP32-S3,
 * where they are called SPI2 and SPI3; 1 on the C3 and C6. */
#pragma once
#include <stdint.h>
#include <sys/ioctl.h>
#ifdef __cplusplus
extern "C" {
#endif
#define SPIIOCSCFG 0x8301
#define SPIIOCEXCHANGE 0x8302
#define SPI_MASTER (1 << 0)
#define SPI_MODE(number) (((number) & 3) << 1)
#define SPI_MODE_0 SPI_MODE(0)
#define SPI_MODE_1 SPI_MODE(1)
#define SPI_MODE_2 SPI_MODE(2)
#define SPI_MODE_3 SPI_MODE(3)
#define SPI_RX_LSB (1 << 3)
#define SPI_TX_LSB (1 << 4)
typedef struct spi_cfg {
    uint8_t cs_pin, sclk_pin, mosi_pin, miso_pin;
    union {
        struct {
            uint32_t master : 1, mode : 2, rx_lsb : 1, tx_lsb : 1;
        } flags_data;
        uint32_t flags; /* SPI_MASTER | ... */
    };
    union {
        struct {
            uint32_t clock;
        } master;
    };
} spi_cfg_t;
typedef struct spi_ex_msg {
    const void *tx_buffer;
    void *rx_buffer;
    uint32_t size;
} spi_ex_msg_t;
#ifdef __cplusplus
}
#endif
