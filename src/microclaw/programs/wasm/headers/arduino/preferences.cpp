/* Preferences: a namespace is read when it begins and before every put, as others may have written it, and written whole. */
#include "stored.h"
#include <Preferences.h>

#define PATH "/storage/prefs-"
#define ROOM 2048
#define LONGEST 15

static size_t length_at(const uint8_t *record) {
    size_t key = strlen((const char *)record) + 1;
    return record[key] | (size_t)record[key + 1] << 8;
}

static const uint8_t *value_at(const uint8_t *record) { return record + strlen((const char *)record) + 3; }

bool Preferences::begin(const char *name, bool read_only, const char *) {
    end();
    if (!name || !*name || strlen(name) > LONGEST || strchr(name, '/') || !(records_ = (uint8_t *)malloc(ROOM))) {
        printf("Preferences: %s cannot be begun\n", name ? name : "NULL");
        return false;
    }
    strcpy(name_, name);
    read_only_ = read_only;
    if (!load() && read_only) {
        end(); /* there is nothing to be read */
    }
    return records_;
}

bool Preferences::load() {
    int found = microclaw_load(PATH, name_, records_, ROOM);
    used_ = found > 0 && found <= ROOM ? (size_t)found : 0;
    return found >= 0;
}

void Preferences::end() {
    free(records_);
    records_ = nullptr;
    used_ = 0;
}

int Preferences::find(const char *key) const {
    for (size_t at = 0; records_ && at < used_;) {
        const uint8_t *record = records_ + at;
        if (!strcmp((const char *)record, key)) {
            return (int)at;
        }
        at = (size_t)(value_at(record) - records_) + length_at(record);
    }
    return -1;
}

bool Preferences::keep() { return microclaw_keep(PATH, name_, records_, used_); }

bool Preferences::clear() {
    if (!records_ || read_only_) {
        return false;
    }
    used_ = 0;
    return keep();
}

static size_t without(uint8_t *records, size_t used, int at) {
    size_t next = (size_t)(value_at(records + at) - records) + length_at(records + at);
    memmove(records + at, records + next, used - next);
    return used - (next - (size_t)at);
}

bool Preferences::remove(const char *key) {
    if (!records_ || read_only_) {
        return false;
    }
    load();
    int at = find(key);
    if (at < 0) {
        return false;
    }
    used_ = without(records_, used_, at);
    return keep();
}

size_t Preferences::put(const char *key, const void *bytes, size_t count) {
    size_t name = key ? strlen(key) : 0;
    if (!records_ || read_only_ || !name || name > LONGEST) {
        return 0;
    }
    load();
    int at = find(key);
    size_t freed = at < 0 ? 0 : name + 3 + length_at(records_ + at);
    if (used_ - freed + name + 3 + count > ROOM) {
        printf("Preferences: %s has no room for %s\n", name_, key);
        return 0;
    }
    if (at >= 0) {
        if (length_at(records_ + at) == count && !memcmp(value_at(records_ + at), bytes, count)) {
            return count; /* flash wears */
        }
        used_ = without(records_, used_, at);
    }
    uint8_t *record = records_ + used_;
    strcpy((char *)record, key);
    record[name + 1] = (uint8_t)count;
    record[name + 2] = (uint8_t)(count >> 8);
    memcpy(record + name + 3, bytes, count);
    used_ += name + 3 + count;
    return keep() ? count : 0;
}

bool Preferences::get(const char *key, void *out, size_t count) const {
    int at = find(key);
    if (at < 0 || length_at(records_ + at) != count) {
        return false;
    }
    memcpy(out, value_at(records_ + at), count);
    return true;
}

size_t Preferences::getBytesLength(const char *key) const {
    int at = find(key);
    return at < 0 ? 0 : length_at(records_ + at);
}

size_t Preferences::getBytes(const char *key, void *out, size_t room) const {
    size_t count = getBytesLength(key);
    if (!out) {
        return count;
    }
    return count && count <= room && get(key, out, count) ? count : 0;
}

size_t Preferences::getString(const char *key, char *out, size_t room) const {
    size_t count = getBytesLength(key);
    if (count + 1 > room || !get(key, out, count)) {
        return 0;
    }
    out[count] = 0;
    return count + 1;
}

String Preferences::getString(const char *key, const String &otherwise) const {
    int at = find(key);
    return at < 0 ? otherwise : String((const char *)value_at(records_ + at), (unsigned)length_at(records_ + at));
}

size_t Preferences::freeEntries() const { return records_ ? (ROOM - used_) / 32 : 0; }
