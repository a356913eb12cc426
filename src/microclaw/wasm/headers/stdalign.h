/* stdalign.h: as in C17. */
#pragma once
#define alignas _Alignas
#define alignof _Alignof
