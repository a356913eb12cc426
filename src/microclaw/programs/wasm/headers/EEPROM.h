/* EEPROM.h: the bytes of two files /storage/eeprom0 and 1, which all programs of the board share. begin reads them, commit writes them. */
#pragma once
#include <Arduino.h>
class EEPROMClass {
  public:
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
    uint8_t readByte(int at) const { return read(at); }
    int32_t readInt(int at) const { return of<int32_t>(at); }
    uint32_t readUInt(int at) const { return of<uint32_t>(at); }
    int32_t readLong(int at) const { return of<int32_t>(at); }
    float readFloat(int at) const { return of<float>(at); }
    bool readBool(int at) const { return read(at); }
    size_t writeByte(int at, uint8_t value) { return wrote(at, value); }
    size_t writeInt(int at, int32_t value) { return wrote(at, value); }
    size_t writeUInt(int at, uint32_t value) { return wrote(at, value); }
    size_t writeLong(int at, int32_t value) { return wrote(at, value); }
    size_t writeFloat(int at, float value) { return wrote(at, value); }
    size_t writeBool(int at, bool value) { return wrote(at, (uint8_t)value); }

  private:
    bool inside(int at, size_t count) const { return at >= 0 && (size_t)at + count <= size_; }
    template <typename T> T of(int at) const {
        T value = 0;
        return get(at, value);
    }
    template <typename T> size_t wrote(int at, T value) {
        put(at, value);
        return inside(at, sizeof value) ? sizeof value : 0;
    }
    uint8_t *bytes_ = nullptr;
    size_t size_ = 0;
    bool changed_ = false;
};
extern EEPROMClass EEPROM;
