/*
 * The kernel's address types.
 *
 * A physical address is an integer and never dereferenced; a virtual address is a pointer or a
 * vaddr_t. Numbers from firmware are 64-bit (paddr64_t) until they are clipped once.
 */
#ifndef TYPES_H
#define TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t paddr_t;   /* physical address that the kernel can reach with 32-bit paging */
typedef uint64_t paddr64_t; /* physical address as firmware gives it */
typedef uintptr_t vaddr_t;  /* virtual address */

#define KIB               1024u
#define MIB               (1024u * KIB)

#define PACKED            __attribute__((packed))
#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF(f, a)      __attribute__((format(printf, f, a)))
#define UNUSED            __attribute__((unused))
#define FALLTHROUGH       __attribute__((fallthrough))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
