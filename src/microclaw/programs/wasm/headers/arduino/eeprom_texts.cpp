/* EEPROM: texts and blocks of bytes. */
#include <EEPROM.h>

size_t EEPROMClass::length_at(int at) const {
    if (!inside(at, 1)) {
        return 0;
    }
    const void *end = memchr(bytes_ + at, 0, size_ - (size_t)at);
    return end ? (size_t)((const uint8_t *)end - (bytes_ + at)) : 0;
}

size_t EEPROMClass::readString(int at, char *out, size_t room) const {
    size_t length = length_at(at);
    if (!out || length + 1 > room) {
        return 0;
    }
    memcpy(out, bytes_ + at, length);
    out[length] = 0;
    return length;
}

String EEPROMClass::readString(int at) const {
    size_t length = length_at(at);
    return length ? String((const char *)bytes_ + at, (unsigned)length) : String();
}

size_t EEPROMClass::writeString(int at, const char *text) {
    size_t length = text ? strlen(text) : 0;
    return text && writeBytes(at, text, length + 1) ? length : 0;
}

size_t EEPROMClass::readBytes(int at, void *out, size_t count) const {
    if (!out || !inside(at, count)) {
        return 0;
    }
    memcpy(out, bytes_ + at, count);
    return count;
}

size_t EEPROMClass::writeBytes(int at, const void *bytes, size_t count) {
    if (!bytes || !inside(at, count)) {
        return 0;
    }
    changed_ = changed_ || memcmp(bytes_ + at, bytes, count);
    memcpy(bytes_ + at, bytes, count);
    return count;
}
