/*
 * Alignment and single bits.
 *
 * An alignment is always a power of two. The functions with 64 in their name are for the numbers
 * that firmware gives; a 32-bit mask would silently cut those.
 */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <types.h>

static inline bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline bool is_aligned(uint32_t value, uint32_t alignment)
{
    return (value & (alignment - 1)) == 0;
}

static inline bool is_aligned64(uint64_t value, uint64_t alignment)
{
    return (value & (alignment - 1)) == 0;
}

static inline uint32_t round_down(uint32_t value, uint32_t alignment)
{
    return value & ~(alignment - 1);
}

static inline uint64_t round_down64(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

/* Wraps to 0 if the next multiple does not fit: whoever takes any value has to rule that out. */
static inline uint32_t round_up(uint32_t value, uint32_t alignment)
{
    return round_down(value + (alignment - 1), alignment);
}

static inline uint64_t round_up64(uint64_t value, uint64_t alignment)
{
    return round_down64(value + (alignment - 1), alignment);
}

/* The number, 0 to 31, of the lowest bit that is set; `value` must not be 0. */
static inline unsigned lowest_bit(uint32_t value)
{
    return (unsigned)__builtin_ctz(value);
}

/*
 * Clears the lowest bit that is set; true if it was the last. `*word` must not be 0. AND with
 * memory answers in its flags whether anything is left, where a compiler keeps the word in a
 * register over all that comes between, and saves another for it.
 */
static inline bool clear_lowest_bit(uint32_t *word)
{
    uint32_t others = *word - 1;
    bool was_last;

    __asm__("andl %2, %0" : "+m"(*word), "=@ccz"(was_last) : "r"(others));
    return was_last;
}

/* Sets a bit, 0 to 31; true if it was set. */
static inline bool test_and_set_bit(uint32_t *word, uint32_t bit)
{
    bool was_set;

    __asm__("btsl %2, %0" : "+r"(*word), "=@ccc"(was_set) : "Ir"(bit));
    return was_set;
}

/* Subtracts; true if `value` was more than there was, and *from is 2^32 more than it should be. */
static inline bool subtract_borrows(uint32_t *from, uint32_t value)
{
    bool borrows;

    __asm__("subl %2, %0" : "+m"(*from), "=@ccc"(borrows) : "ri"(value));
    return borrows;
}

/* The number, 0 to 31, of the highest bit that is set; `value` must not be 0. */
static inline unsigned highest_bit(uint32_t value)
{
    return 31u - (unsigned)__builtin_clz(value);
}

/*
 * How many bits are set: sums side by side in fields of 2, 4 and 8 bits, then all in the top byte.
 * (__builtin_popcount would be a call into libgcc where the CPU has no such instruction.)
 */
static inline unsigned count_bits(uint32_t value)
{
    value -= (value >> 1) & 0x55555555u;
    value = (value & 0x33333333u) + ((value >> 2) & 0x33333333u);
    value = (value + (value >> 4)) & 0x0f0f0f0fu;
    return (unsigned)(value * 0x01010101u >> 24);
}

#endif
