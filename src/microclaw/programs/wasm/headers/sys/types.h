/* sys/types.h: the types of sizes, places in files and times. There are no processes and no users, and no types for them. */
#pragma once
#include <stddef.h>
typedef long ssize_t;
typedef long long off_t;
typedef unsigned useconds_t;
typedef long suseconds_t;
typedef long long time_t;
typedef unsigned mode_t;
