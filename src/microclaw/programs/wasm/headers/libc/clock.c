/* The wall clock of firmware without one: the host fills the stamp in just before it sends the program
 * (wire/wasmachine/clock_stamp.py), and from the program's start on the boot clock counts. A clock that the firmware has set
 * itself goes first. Without either the calendar starts at 1970 with each boot. */
#include "libc.h"
#include <time.h>

#define SET_S 1700000000 /* earlier than any build: a clock before is not set */

NATIVE("time") long long native_time(long long *out);
NATIVE("clock_gettime") int native_clock_gettime(clockid_t clock, struct timespec *now);

__attribute__((used)) static volatile struct {
    char mark[8];
    int64_t epoch_ms; /* when it was sent; -1: not filled */
    int64_t change_s; /* when the zone changes next */
    int32_t zone_s, next_zone_s;
} stamp = {{'\xf5', 'm', 'c', 'c', 'l', 'o', 'c', 'k'}, -1, -1, -1, -1};
static int64_t started_ms;

static int64_t boot_ms(void) {
    struct timespec now;
    native_clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The build has this called first thing in on_init, and takes the export away (eventful.py). */
__attribute__((export_name("__microclaw_note_start"))) void microclaw_note_start(void) { started_ms = boot_ms(); }

int64_t microclaw_now_ms(void) {
    long long firmware_s;
    native_time(&firmware_s);
    bool by_stamp = firmware_s < SET_S && stamp.epoch_ms >= 0;
    return by_stamp ? stamp.epoch_ms + boot_ms() - started_ms : firmware_s * 1000;
}

/* configTime's; without it the host's zone counts. */
static struct {
    bool is_set;
    int32_t seconds;
} own_zone;

void microclaw_set_zone(int seconds) {
    own_zone.is_set = true;
    own_zone.seconds = seconds;
}

int microclaw_zone_s(time_t utc) {
    if (own_zone.is_set) {
        return own_zone.seconds;
    }
    return stamp.epoch_ms < 0 ? 0 : utc < stamp.change_s ? stamp.zone_s : stamp.next_zone_s;
}

/* Of an hour that there is twice the first. */
int microclaw_zone_of_local_s(time_t local) { return microclaw_zone_s(local - microclaw_zone_s(local - 86400)); }

WEAK time_t time(time_t *out) {
    time_t now = microclaw_now_ms() / 1000;
    if (out) {
        *out = now;
    }
    return now;
}
