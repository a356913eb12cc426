/* arduino/stored.h: bytes that outlive a restart, behind EEPROM.h and Preferences.h. Programs cannot include it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Two files, PATH with 0 and 1 behind it, take turns: a write that the power cuts leaves the one before. PATH is whole and
 * begins with /storage/, because the checks look for it in the program's data; NAME, which may be empty, is put behind it. */
/* How many bytes are kept, of which those that have room are in `out`; -1: none were, or they are damaged. */
int microclaw_load(const char *path, const char *name, void *out, size_t room);
bool microclaw_keep(const char *path, const char *name, const void *bytes, size_t count);
