/*
 * The frame bitmaps.
 *
 * Three levels: `free` has a bit for each frame, `words` one for each word of `free` that is not 0,
 * `groups` one for each word of `words` that is not 0. Three steps down, each to the lowest bit
 * that is set, lead to the lowest free frame, however many are taken:
 *
 *   groups     | 0 0 1 0 1 |              4 words: three blocks of the low zone, one of the high
 *                    |
 *   words        | 0 1 1 0 0 |          128 words
 *                    |
 *   free           | 0 0 0 1 0 |       4096 words, 131,072 frames
 *
 * Invariants: the levels agree; no fixed frame is free; no word of any level belongs to both zones.
 * The frames themselves are never touched.
 */
#include <mem/frames.h>
#include <lib/bits.h>
#include <panic.h>

#define BITS 32u

_Static_assert(FRAMES_HIGH_FIRST == 3 * FRAMES_BLOCK && FRAMES_MAX == 4 * FRAMES_BLOCK,
               "frames_alloc() knows the blocks of each zone");

static bool test_bit(const uint32_t *words, uint32_t bit)
{
    return (words[bit / BITS] >> (bit % BITS) & 1u) != 0;
}

static void set_bit(uint32_t *words, uint32_t bit)
{
    words[bit / BITS] |= 1u << (bit % BITS);
}

static void clear_bit(uint32_t *words, uint32_t bit)
{
    words[bit / BITS] &= ~(1u << (bit % BITS));
}

static uint32_t clip(uint32_t end)
{
    return end < FRAMES_MAX ? end : FRAMES_MAX;
}

/* ---- The levels ---- */

/* Word `word` of the bitmap has a free frame now. */
static void word_gains(struct frames *f, uint32_t word)
{
    set_bit(f->words, word);
    set_bit(f->groups, word / BITS);
}

/* A frame of word `word` has gone. */
static void word_loses(struct frames *f, uint32_t word)
{
    if (f->free[word] != 0)
        return;
    clear_bit(f->words, word);
    if (f->words[word / BITS] == 0)
        clear_bit(f->groups, word / BITS);
}

/* The bits of a word that stand for frames of [first, end); the word holds at least one. */
static uint32_t bits_in_range(uint32_t word, uint32_t first, uint32_t end)
{
    uint32_t low = word * BITS < first ? first - word * BITS : 0;
    uint32_t high = (word + 1) * BITS > end ? (word + 1) * BITS - end : 0;
    return 0xffffffffu << low & 0xffffffffu >> high;
}

/* ---- The memory map ---- */

void frames_init(struct frames *f)
{
    for (uint32_t i = 0; i < FRAMES_MAX / FRAMES_WORD; i++) {
        f->free[i] = 0;
        f->fixed[i] = 0xffffffffu;
    }
    for (uint32_t i = 0; i < FRAMES_MAX / FRAMES_GROUP; i++)
        f->words[i] = 0;
    for (uint32_t i = 0; i < FRAMES_MAX / FRAMES_BLOCK; i++)
        f->groups[i] = 0;
    f->end = 0;
    f->total = f->reserved = f->allocated = 0;
}

void frames_add(struct frames *f, uint32_t first, uint32_t end)
{
    end = clip(end);
    if (first >= end)
        return;
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        uint32_t added = f->fixed[word] & bits_in_range(word, first, end);
        f->fixed[word] &= ~added;
        f->free[word] |= added;
        f->total += count_bits(added);
        if (added != 0)
            word_gains(f, word);
    }
    if (end > f->end)
        f->end = end;
}

/* Takes the free frames of a range out of circulation for good; returns how many they were. */
static uint32_t fix(struct frames *f, uint32_t first, uint32_t end)
{
    uint32_t count = 0;

    end = clip(end);
    for (uint32_t word = first / BITS; first < end && word * BITS < end; word++) {
        uint32_t fixed = f->free[word] & bits_in_range(word, first, end);
        f->free[word] &= ~fixed;
        f->fixed[word] |= fixed;
        word_loses(f, word);
        count += count_bits(fixed);
    }
    return count;
}

void frames_remove(struct frames *f, uint32_t first, uint32_t end)
{
    f->total -= fix(f, first, end);
}

void frames_reserve(struct frames *f, uint32_t first, uint32_t end)
{
    f->reserved += fix(f, first, end);
}

void frames_lower_end(struct frames *f)
{
    while (f->end > 0 && test_bit(f->fixed, f->end - 1))
        f->end--;
}

/* ---- Single frames ---- */

/*
 * The lowest free frame of a block that has one. At each level the lowest bit leads to it, and is
 * cleared when nothing is left behind it.
 */
static inline uint32_t alloc_in_block(struct frames *f, uint32_t block)
{
    uint32_t group = block * BITS + lowest_bit(f->groups[block]);
    uint32_t word = group * BITS + lowest_bit(f->words[group]);
    uint32_t bit = lowest_bit(f->free[word]);

    f->allocated++;
    if (clear_lowest_bit(&f->free[word]) && clear_lowest_bit(&f->words[group]))
        (void)clear_lowest_bit(&f->groups[block]);
    return word * BITS + bit;
}

uint32_t frames_alloc(struct frames *f, enum frames_zone zone)
{
    if (zone == FRAMES_HIGH)
        return f->groups[3] != 0 ? alloc_in_block(f, 3) : FRAMES_NONE;
    if (f->groups[0] != 0)
        return alloc_in_block(f, 0);
    if (f->groups[1] != 0)
        return alloc_in_block(f, 1);
    return f->groups[2] != 0 ? alloc_in_block(f, 2) : FRAMES_NONE;
}

bool frames_free(struct frames *f, uint32_t frame)
{
    if (frame >= FRAMES_MAX)
        return false;

    uint32_t bit = 1u << (frame % BITS);
    if ((f->fixed[frame / BITS] & bit) != 0 || (f->free[frame / BITS] & bit) != 0)
        return false;
    f->free[frame / BITS] |= bit;
    set_bit(f->words, frame / BITS);
    set_bit(f->groups, frame / FRAMES_GROUP);
    f->allocated--;
    return true;
}

/* ---- Runs ---- */

/* The bits of a word that stand for multiples of `align`, a power of two. */
static uint32_t aligned_bits(uint32_t word, uint32_t align)
{
    if (align < BITS)
        return 0xffffffffu / ((1u << align) - 1); /* 1 in every `align` bits */
    return word * BITS % align == 0 ? 1u : 0;
}

/* The bits of a word at which `count` free frames begin, 1 to 32; they may end in the next word. */
static uint32_t short_runs(const struct frames *f, uint32_t word, uint32_t count)
{
    uint64_t next = word + 1 < FRAMES_MAX / BITS ? f->free[word + 1] : 0;
    uint64_t runs = next << BITS | f->free[word];

    /* A bit says that `length` frames from it on are free. */
    for (uint32_t length = 1, more; length < count && runs != 0; length += more) {
        more = length < count - length ? length : count - length;
        runs &= runs >> more;
    }
    return (uint32_t)runs;
}

/* Where the run may begin, from frame `from` on: there it has 32 free frames, or all it needs. */
static uint32_t next_start(const struct frames *f, uint32_t from, uint32_t count, uint32_t align)
{
    uint32_t wanted = count < BITS ? count : BITS;

    for (uint32_t word = from / BITS; word < FRAMES_MAX / BITS; word++) {
        if (f->words[word / BITS] == 0)
            word |= BITS - 1; /* nothing in this group */
        if (f->free[word] == 0)
            continue;
        uint32_t starts = short_runs(f, word, wanted) & aligned_bits(word, align);
        if (word == from / BITS)
            starts &= 0xffffffffu << from % BITS;
        if (starts != 0)
            return word * BITS + lowest_bit(starts);
    }
    return FRAMES_NONE;
}

/* The first frame of [first, end) that is not free, or `end`. */
static uint32_t first_taken(const struct frames *f, uint32_t first, uint32_t end)
{
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        uint32_t taken = ~f->free[word] & bits_in_range(word, first, end);
        if (taken != 0)
            return word * BITS + lowest_bit(taken);
    }
    return end;
}

static void take_run(struct frames *f, uint32_t first, uint32_t end)
{
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        f->free[word] &= ~bits_in_range(word, first, end);
        word_loses(f, word);
    }
    f->allocated += end - first;
}

uint32_t frames_alloc_run(struct frames *f, uint32_t count, uint32_t align, uint32_t limit)
{
    uint32_t from = 0;

    ASSERT(is_power_of_two(align));
    limit = clip(limit);
    if (count == 0 || count > limit)
        return FRAMES_NONE;

    for (;;) {
        uint32_t start = next_start(f, from, count, align);
        if (start > limit - count)
            return FRAMES_NONE;
        uint32_t taken = first_taken(f, start, start + count);
        if (taken == start + count) {
            take_run(f, start, taken);
            return start;
        }
        from = taken + 1;
    }
}

bool frames_free_run(struct frames *f, uint32_t first, uint32_t count)
{
    if (count == 0 || count > FRAMES_MAX || first > FRAMES_MAX - count)
        return false;

    uint32_t end = first + count;
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        if (((f->free[word] | f->fixed[word]) & bits_in_range(word, first, end)) != 0)
            return false;
    }
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        f->free[word] |= bits_in_range(word, first, end);
        word_gains(f, word);
    }
    f->allocated -= count;
    return true;
}

/* ---- Looking at it ---- */

uint32_t frames_free_count(const struct frames *f)
{
    return f->total - f->reserved - f->allocated;
}

enum frames_state frames_state(const struct frames *f, uint32_t frame)
{
    if (frame >= FRAMES_MAX || test_bit(f->fixed, frame))
        return FRAME_HOLE_OR_RESERVED;
    return test_bit(f->free, frame) ? FRAME_FREE : FRAME_ALLOCATED;
}

static enum frames_fault validate_levels(const struct frames *f)
{
    for (uint32_t word = 0; word < FRAMES_MAX / FRAMES_WORD; word++) {
        if (test_bit(f->words, word) != (f->free[word] != 0))
            return FRAMES_WORDS;
    }
    for (uint32_t group = 0; group < FRAMES_MAX / FRAMES_GROUP; group++) {
        if (test_bit(f->groups, group) != (f->words[group] != 0))
            return FRAMES_GROUPS;
    }
    return FRAMES_SOUND;
}

enum frames_fault frames_validate(const struct frames *f)
{
    uint32_t free = 0, allocated = 0;

    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++) {
        bool is_free = test_bit(f->free, frame);
        bool fixed = test_bit(f->fixed, frame);

        if (fixed && is_free)
            return FRAMES_FIXED_FREE;
        if (!fixed && frame >= f->end)
            return FRAMES_PAST_END;
        free += is_free;
        allocated += !is_free && !fixed;
    }
    if (allocated != f->allocated)
        return FRAMES_ALLOCATED_COUNT;
    if (free != frames_free_count(f))
        return FRAMES_FREE_COUNT;
    return validate_levels(f);
}
