/* ctype.h: what the firmware has. */
#pragma once
int isupper(int c);
int isalpha(int c);
int isspace(int c);
int isgraph(int c);
int isprint(int c);
int isdigit(int c);
int isxdigit(int c);
int isalnum(int c);
int tolower(int c);
int toupper(int c);
static inline int islower(int c) { return c >= 'a' && c <= 'z'; }
