/*
 * The errors that kernel functions return. Zero is success, errors are negative.
 */
#ifndef ERROR_H
#define ERROR_H

enum error {
    OK = 0,
    ERR_NO_MEMORY = -1,   /* no frame, no table, no room in a window */
    ERR_RANGE = -2,       /* outside of what the operation may touch */
    ERR_UNALIGNED = -3,   /* not a multiple of the page size */
    ERR_MAPPED = -4,      /* something is mapped there already */
    ERR_NOT_MAPPED = -5,  /* nothing is mapped there */
    ERR_UNSUPPORTED = -6, /* this CPU or machine cannot do it */
    ERR_INTERRUPTED = -7, /* the thread was asked to stop while it waited */
};

/* A few plain words for an error, for messages; "unknown error" for any other number. */
const char *error_text(int error);

#endif
