/* ctype.h: as in C17, the C locale. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
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
int islower(int c);
int ispunct(int c);
int iscntrl(int c);
int isblank(int c);
int isascii(int c);
int toascii(int c);
#ifdef __cplusplus
}
#endif
