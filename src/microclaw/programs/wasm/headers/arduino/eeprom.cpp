/* EEPROM: its bytes on the heap between begin and end. */
#include "stored.h"
#include <EEPROM.h>

#define PATH "/storage/eeprom"
#define MOST 4096

EEPROMClass EEPROM;

bool EEPROMClass::begin(size_t size) {
    end();
    bytes_ = size && size <= MOST ? (uint8_t *)malloc(size) : nullptr;
    if (!bytes_) {
        printf("EEPROM: no memory for %u bytes\n", (unsigned)size);
        return false;
    }
    memset(bytes_, 0xff, size);
    microclaw_load(PATH, "", bytes_, size);
    size_ = size;
    return true;
}

bool EEPROMClass::commit() {
    if (!bytes_) {
        return false;
    }
    if (changed_) {
        changed_ = !microclaw_keep(PATH, "", bytes_, size_);
    }
    return !changed_;
}

void EEPROMClass::end() {
    if (bytes_) {
        commit();
        free(bytes_);
    }
    bytes_ = nullptr;
    size_ = 0;
    changed_ = false;
}
