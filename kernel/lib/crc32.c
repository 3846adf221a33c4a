/*
 * CRC-32, four bits a step: a table of 16 words, not of 256, stays in one cache line or two and
 * can be checked by eye.
 */
#include <lib/crc32.h>

/* remainders[n] is the register n (four bits) shifted out through the reflected polynomial. */
static const uint32_t remainders[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t crc32(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    /* The register runs inverted; undoing that here is what makes checksums continue. */
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ remainders[crc & 15];
        crc = crc >> 4 ^ remainders[crc & 15];
    }
    return ~crc;
}
