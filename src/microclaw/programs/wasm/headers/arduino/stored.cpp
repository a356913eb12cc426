/* Each file: the turn, the count, a checksum of both and the bytes (FNV-1a); then the bytes. */
#include "stored.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct Head {
    uint32_t turn, count, sum;
};

static void add(uint32_t &sum, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ bytes[i]) * 16777619u;
    }
}

static int open_file(const char *path, const char *name, int which, int flags) {
    char full[64];
    if (snprintf(full, sizeof full, "%s%s%d", path, name, which) >= (int)sizeof full) {
        return -1;
    }
    return open(full, flags, 0600);
}

/* Whether the file is whole; as many of its bytes as have room go to `out`. */
static bool read_file(const char *path, const char *name, int which, Head &head, uint8_t *out, size_t room) {
    int fd = open_file(path, name, which, O_RDONLY);
    if (fd < 0) {
        return false;
    }
    uint8_t part[64];
    uint32_t sum = 2166136261u;
    bool whole = read(fd, &head, sizeof head) == (int)sizeof head;
    add(sum, (const uint8_t *)&head, sizeof head - sizeof head.sum);
    for (size_t at = 0, count; whole && at < head.count; at += count) {
        count = head.count - at < sizeof part ? head.count - at : sizeof part;
        whole = read(fd, part, count) == (int)count;
        add(sum, part, count);
        if (at < room) {
            memcpy(out + at, part, room - at < count ? room - at : count);
        }
    }
    close(fd);
    return whole && sum == head.sum;
}

/* The file that was written last, of those that are whole; -1: none is. */
static int newest(const char *path, const char *name, Head &head) {
    Head heads[2];
    bool whole[2];
    for (int which = 0; which < 2; which++) {
        whole[which] = read_file(path, name, which, heads[which], nullptr, 0);
    }
    if (!whole[0] && !whole[1]) {
        return -1;
    }
    int which = !whole[0] || (whole[1] && (int32_t)(heads[1].turn - heads[0].turn) > 0);
    head = heads[which];
    return which;
}

int microclaw_load(const char *path, const char *name, void *out, size_t room) {
    Head head;
    int which = newest(path, name, head);
    return which >= 0 && read_file(path, name, which, head, (uint8_t *)out, room) ? (int)head.count : -1;
}

bool microclaw_keep(const char *path, const char *name, const void *bytes, size_t count) {
    Head head = {};
    int which = newest(path, name, head) == 0 ? 1 : 0;
    head = {head.turn + 1, (uint32_t)count, 2166136261u};
    add(head.sum, (const uint8_t *)&head, sizeof head - sizeof head.sum);
    add(head.sum, (const uint8_t *)bytes, count);
    int fd = open_file(path, name, which, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, &head, sizeof head) == (int)sizeof head && write(fd, bytes, count) == (int)count;
    return close(fd) == 0 && written;
}
