/* SPIFFS.h: the files of FS.h; those of LittleFS are the same. */
#pragma once
#include <FS.h>
extern fs::FS SPIFFS;
