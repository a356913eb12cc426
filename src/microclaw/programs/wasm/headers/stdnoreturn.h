/* stdnoreturn.h: as in C17. */
#pragma once
#ifndef __cplusplus
#define noreturn _Noreturn
#endif
