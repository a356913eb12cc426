/* The words for error numbers, the common ones. */
#include "libc.h"
#include <errno.h>

static const struct {
    uint8_t number;
    const char *text;
} errors[] = {
    {0, "Success"},
    {EACCES, "Permission denied"},
    {EAGAIN, "Resource temporarily unavailable"},
    {EBADF, "Bad file descriptor"},
    {EBUSY, "Device or resource busy"},
    {EDOM, "Numerical argument out of domain"},
    {EEXIST, "File exists"},
    {EFBIG, "File too large"},
    {EINTR, "Interrupted system call"},
    {EINVAL, "Invalid argument"},
    {EIO, "Input/output error"},
    {EISDIR, "Is a directory"},
    {EMFILE, "Too many open files"},
    {ENAMETOOLONG, "File name too long"},
    {ENODEV, "No such device"},
    {ENOENT, "No such file or directory"},
    {ENOMEM, "Cannot allocate memory"},
    {ENOSPC, "No space left on device"},
    {ENOSYS, "Function not implemented"},
    {ENOTDIR, "Not a directory"},
    {ENOTEMPTY, "Directory not empty"},
    {ENOTSUP, "Operation not supported"},
    {ENXIO, "No such device or address"},
    {EPERM, "Operation not permitted"},
    {ERANGE, "Numerical result out of range"},
    {EROFS, "Read-only file system"},
    {ETIMEDOUT, "Connection timed out"},
};

static const char *words(int number) {
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].number == number) {
            return errors[i].text;
        }
    }
    return 0;
}

static char *text_of(int number) {
    static char unknown[26];
    const char *found = words(number);
    if (found) {
        return (char *)found;
    }
    const char *head = "Unknown error ";
    char *to = unknown, digits[12];
    while (*head) {
        *to++ = *head++;
    }
    if (number < 0) {
        *to++ = '-';
    }
    unsigned magnitude = number < 0 ? 0u - (unsigned)number : (unsigned)number;
    unsigned count = microclaw_digits(magnitude, 10, 'a', digits + sizeof digits);
    for (unsigned i = sizeof digits - count; i < sizeof digits; i++) {
        *to++ = digits[i];
    }
    *to = 0;
    return unknown;
}

WEAK char *strerror(int number) { return text_of(number); }
