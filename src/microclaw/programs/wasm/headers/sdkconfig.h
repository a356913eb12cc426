/* sdkconfig.h: the settings that Espressif's own examples read, so that they build as they are. What a program defines
 * above its #include counts instead; every other CONFIG_ is given there too. */
#pragma once
#ifndef CONFIG_GPIO_SIMPLE_GPIO_PIN_NUM
#ifdef BOARD_LED_PIN
#define CONFIG_GPIO_SIMPLE_GPIO_PIN_NUM BOARD_LED_PIN
#else
#define CONFIG_GPIO_SIMPLE_GPIO_PIN_NUM 9
#endif
#endif
#if defined BOARD_I2C_SDA && !defined CONFIG_I2C_SDA_PIN_NUM
#define CONFIG_I2C_SDA_PIN_NUM BOARD_I2C_SDA
#endif
#if defined BOARD_I2C_SCL && !defined CONFIG_I2C_SCL_PIN_NUM
#define CONFIG_I2C_SCL_PIN_NUM BOARD_I2C_SCL
#endif
#ifndef CONFIG_I2C_TEST_COUNT
#define CONFIG_I2C_TEST_COUNT 10
#endif
#ifndef CONFIG_BH1750_ADDR
#define CONFIG_BH1750_ADDR 0x23
#endif
#ifndef CONFIG_BH1750_OPMODE
#define CONFIG_BH1750_OPMODE 0x23 /* once, 4 lx */
#endif
#ifndef CONFIG_TT21100_READY_PIN_NUM
#define CONFIG_TT21100_READY_PIN_NUM 3
#endif
#if !defined CONFIG_LEDC_DEVICE_LEDC1 && !defined CONFIG_LEDC_DEVICE_LEDC2
#define CONFIG_LEDC_DEVICE_LEDC0 1
#endif
#ifndef CONFIG_LEDC_FREQUENCY
#define CONFIG_LEDC_FREQUENCY 1000
#endif
#ifndef CONFIG_LEDC_CHANNEL_OUPUT_PIN /* so it is spelled there */
#define CONFIG_LEDC_CHANNEL_OUPUT_PIN 4
#endif
#ifndef CONFIG_SPI_DEVICE_SPI3
#define CONFIG_SPI_DEVICE_SPI2 1
#endif
#ifndef CONFIG_SPI_CS_PIN_NUM
#define CONFIG_SPI_CS_PIN_NUM 10
#endif
#ifndef CONFIG_SPI_SCLK_PIN_NUM
#define CONFIG_SPI_SCLK_PIN_NUM 12
#endif
#ifndef CONFIG_SPI_MOSI_PIN_NUM
#define CONFIG_SPI_MOSI_PIN_NUM 11
#endif
#ifndef CONFIG_SPI_MISO_PIN_NUM
#define CONFIG_SPI_MISO_PIN_NUM 13
#endif
#ifndef CONFIG_UART_DEVICE_USB_SERIAL_JTAG_CONTROLLER
#define CONFIG_UART_DEVICE_UART0 1
#endif
#ifndef CONFIG_BROKER_URI
#define CONFIG_BROKER_URI "mqtt://mqtt.eclipseprojects.io"
#endif
