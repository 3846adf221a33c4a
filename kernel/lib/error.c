/*
 * Errors in words. The switch has no default, so that the compiler names any error left out.
 */
#include <error.h>

const char *error_text(int error)
{
    switch ((enum error)error) {
    case OK:
        return "success";
    case ERR_NO_MEMORY:
        return "out of memory";
    case ERR_RANGE:
        return "out of range";
    case ERR_UNALIGNED:
        return "not page-aligned";
    case ERR_MAPPED:
        return "already mapped";
    case ERR_NOT_MAPPED:
        return "not mapped";
    case ERR_UNSUPPORTED:
        return "not supported";
    case ERR_INTERRUPTED:
        return "interrupted";
    }
    return "unknown error";
}
