/*
 * CRC-32 as in zlib, gzip and Ethernet: polynomial 0x04c11db7, bits reflected, all ones before and
 * after.
 */
#ifndef LIB_CRC32_H
#define LIB_CRC32_H

#include <types.h>

/*
 * The checksum of `length` bytes that follow those whose checksum is `crc`. Start with 0, so
 *     crc32(crc32(0, a, n), b, m)
 * is the checksum of a and b in one piece. `data` may be NULL if `length` is 0.
 */
uint32_t crc32(uint32_t crc, const void *data, size_t length);

#endif
