/* Preferences.h: values by name in two files /storage/prefs-NAMESPACE0 and 1, which all programs of the board share: 2 KB for each namespace. */
#pragma once
#include <Arduino.h>
class Preferences {
  public:
    Preferences() {}
    ~Preferences() { end(); }
    Preferences(const Preferences &) = delete;
    Preferences &operator=(const Preferences &) = delete;
    /* 15 letters at most, as the names of values. There is one place for all, so a partition's name changes nothing. */
    bool begin(const char *name, bool read_only = false, const char *partition = nullptr);
    void end();
    bool clear();
    bool remove(const char *key);
    bool isKey(const char *key) const { return find(key) >= 0; }

#define MICROCLAW_NUMBER_(Name, type, without) \
    size_t put##Name(const char *key, type value) { return put(key, &value, sizeof value); } \
    type get##Name(const char *key, type otherwise = without) const { \
        get(key, &otherwise, sizeof otherwise); \
        return otherwise; \
    }
    MICROCLAW_NUMBER_(Char, int8_t, 0)
    MICROCLAW_NUMBER_(UChar, uint8_t, 0)
    MICROCLAW_NUMBER_(Short, int16_t, 0)
    MICROCLAW_NUMBER_(UShort, uint16_t, 0)
    MICROCLAW_NUMBER_(Int, int32_t, 0)
    MICROCLAW_NUMBER_(UInt, uint32_t, 0)
    MICROCLAW_NUMBER_(Long, int32_t, 0)
    MICROCLAW_NUMBER_(ULong, uint32_t, 0)
    MICROCLAW_NUMBER_(Long64, int64_t, 0)
    MICROCLAW_NUMBER_(ULong64, uint64_t, 0)
    MICROCLAW_NUMBER_(Float, float, NAN)
    MICROCLAW_NUMBER_(Double, double, NAN)
    MICROCLAW_NUMBER_(Bool, bool, false)
#undef MICROCLAW_NUMBER_
    size_t putString(const char *key, const char *text) { return put(key, text, strlen(text)); }
    size_t putString(const char *key, const String &text) { return put(key, text.c_str(), text.length()); }
    String getString(const char *key, const String &otherwise = String()) const;
    size_t getString(const char *key, char *out, size_t room) const;
    size_t getStringLength(const char *key) const { return isKey(key) ? getBytesLength(key) + 1 : 0; } /* with its 0 */
    size_t putBytes(const char *key, const void *bytes, size_t count) { return put(key, bytes, count); }
    size_t getBytes(const char *key, void *out, size_t room) const; /* the length alone where `out` is NULL */
    size_t getBytesLength(const char *key) const;
    size_t freeEntries() const; /* of 32 bytes, as the core counts them */

  private:
    size_t put(const char *key, const void *bytes, size_t count);
    bool get(const char *key, void *out, size_t count) const; /* as long as `count` alone */
    int find(const char *key) const;                          /* where the value's record begins; -1 */
    bool load();
    bool keep();
    char name_[16] = "";
    uint8_t *records_ = nullptr; /* each: the key with its 0, two bytes of length, the value */
    size_t used_ = 0;
    bool read_only_ = false;
};
