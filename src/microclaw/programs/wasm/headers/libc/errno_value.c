/* The variable behind errno. */
#include "libc.h"

int microclaw_errno_value;
