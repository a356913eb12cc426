/* LittleFS.h: the files of FS.h. */
#pragma once
#include <FS.h>
extern fs::FS LittleFS;
