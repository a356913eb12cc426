/* stdnoreturn.h: as in C17. */
#pragma once
#define noreturn _Noreturn
