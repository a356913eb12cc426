/* data_seq.h: what the firmware's ioctl takes instead of a struct: a list of (type, size, address) frames. One is good for
 * one call, because the firmware rewrites its addresses. Frames: esp-wdf 54fc350, as in microclaw.wire.wasmachine.ioctl. */
#pragma once
#include <stdint.h>

#define MAX_FRAMES 26 /* LEDC with eight channels */

typedef struct {
    uint32_t version, num, index;
    struct {
        uint16_t type, size;
        const void *value;
    } frame[MAX_FRAMES];
} data_seq_t;

/* The firmware's own. A program's ioctl is ours instead (ioctl.c). */
__attribute__((import_module("env"), import_name("ioctl"))) int firmware_ioctl(int fd, int command, ...);

static inline void add_frame(data_seq_t *seq, int type, int size, const void *value) {
    seq->frame[seq->index].type = (uint16_t)type;
    seq->frame[seq->index].size = (uint16_t)size;
    seq->frame[seq->index].value = value;
    seq->num = ++seq->index;
}

#define ADD(type, member) add_frame(&seq, type, sizeof(member), &(member))
#define DATA_SEQ(name) \
    data_seq_t name;   \
    name.version = 1;  \
    name.num = name.index = 0

/* ioctl of one kind of node, with the struct that its command takes; -1 for a command it does not know. */
int microclaw_ioctl_gpio(int fd, int command, const void *argument);
int microclaw_ioctl_i2c(int fd, int command, const void *argument);
int microclaw_ioctl_spi(int fd, int command, const void *argument);
int microclaw_ioctl_ledc(int fd, int command, const void *argument);
