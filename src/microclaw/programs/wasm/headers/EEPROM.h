/* EEPROM.h: the bytes of two files /storage/eeprom0 and 1, which all programs of the board share. begin reads them, commit writes them. */
#pragma once
#include <Arduino.h>
class EEPROMClass {
  public:
    constexpr EEPROMClass() {}
    EEPROMClass(const char *name) MICROCLAW_REFUSED_(true, "second EEPROM") {}
    EEPROMClass(uint32_t sector) MICROCLAW_REFUSED_(true, "second EEPROM") {}
    bool begin(size_t size); /* at most 4096; those never written are 255 */
    bool commit();
    void end();
    uint8_t read(int at) const { return inside(at, 1) ? bytes_[at] : 0; }
    void write(int at, uint8_t value) { put(at, value); }
    void update(int at, uint8_t value) { put(at, value); }
    size_t length() const { return size_; }
    template <typename T> T &get(int at, T &value) const {
        if (inside(at, sizeof(T))) {
            memcpy((void *)&value, bytes_ + at, sizeof(T));
        }
        return value;
    }
    template <typename T> const T &put(int at, const T &value) {
        if (inside(at, sizeof(T))) {
            changed_ = changed_ || memcmp(bytes_ + at, &value, sizeof(T));
            memcpy(bytes_ + at, (const void *)&value, sizeof(T));
        }
        return value;
    }
    uint8_t operator[](int at) const { return read(at); }
    uint8_t *getDataPtr() {
        changed_ = true; /* it may be written through the pointer */
        return bytes_;
    }

#define MICROCLAW_NUMBER_(Name, type) \
    type read##Name(int at) const { return of<type>(at); } \
    size_t write##Name(int at, type value) { return writeAll(at, value); }
    MICROCLAW_NUMBER_(Byte, uint8_t)
    MICROCLAW_NUMBER_(Char, int8_t)
    MICROCLAW_NUMBER_(UChar, uint8_t)
    MICROCLAW_NUMBER_(Short, int16_t)
    MICROCLAW_NUMBER_(UShort, uint16_t)
    MICROCLAW_NUMBER_(Int, int32_t)
    MICROCLAW_NUMBER_(UInt, uint32_t)
    MICROCLAW_NUMBER_(Long, int32_t)
    MICROCLAW_NUMBER_(ULong, uint32_t)
    MICROCLAW_NUMBER_(Long64, int64_t)
    MICROCLAW_NUMBER_(ULong64, uint64_t)
    MICROCLAW_NUMBER_(Float, float)
    MICROCLAW_NUMBER_(Double, double)
#undef MICROCLAW_NUMBER_
    bool readBool(int at) const { return read(at); }
    size_t writeBool(int at, bool value) { return writeAll(at, (uint8_t)value); }
    template <typename T> size_t readAll(int at, T &value) const {
        get(at, value);
        return inside(at, sizeof(T)) ? sizeof(T) : 0;
    }
    template <typename T> size_t writeAll(int at, const T &value) {
        put(at, value);
        return inside(at, sizeof(T)) ? sizeof(T) : 0;
    }
    /* A text is kept with the 0 behind it. Each returns the length of the text, or 0 where it has no room. */
    size_t readString(int at, char *out, size_t room) const;
    String readString(int at) const;
    size_t writeString(int at, const char *text);
    size_t writeString(int at, const String &text) { return writeString(at, text.c_str()); }
    size_t readBytes(int at, void *out, size_t count) const;
    size_t writeBytes(int at, const void *bytes, size_t count);

  private:
    bool inside(int at, size_t count) const { return at >= 0 && (size_t)at + count <= size_; }
    template <typename T> T of(int at) const {
        T value = 0;
        return get(at, value);
    }
    size_t length_at(int at) const; /* of the text there; 0 if it has no end */
    uint8_t *bytes_ = nullptr;
    size_t size_ = 0;
    bool changed_ = false;
};
extern EEPROMClass EEPROM;
