/*
 * The frame bitmap.
 *
 * One bit a frame, searched word by word from a zone's `first_word`, below which nothing is free:
 * taking a frame moves it up to where one was found, giving one back moves it down.
 */
#include <mem/frames.h>
#include <lib/bits.h>

#define BITS 32u

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

static enum frames_zone zone_of(const struct frames *f, uint32_t frame)
{
    return frame < f->split ? FRAMES_LOW : FRAMES_HIGH;
}

static uint32_t zone_end(const struct frames *f, enum frames_zone zone)
{
    return zone == FRAMES_LOW ? f->split : FRAMES_MAX;
}

static uint32_t clip(uint32_t end)
{
    return end < FRAMES_MAX ? end : FRAMES_MAX;
}

static void lower_hint(struct frames *f, uint32_t frame)
{
    uint32_t *first_word = &f->first_word[zone_of(f, frame)];
    if (frame / BITS < *first_word)
        *first_word = frame / BITS;
}

void frames_init(struct frames *f, uint32_t split)
{
    for (uint32_t i = 0; i < FRAMES_MAX / BITS; i++)
        f->used[i] = f->fixed[i] = 0xffffffffu;
    f->split = split;
    f->end = 0;
    f->total = f->reserved = f->allocated = 0;
    f->first_word[FRAMES_LOW] = split / BITS; /* nothing is free yet */
    f->first_word[FRAMES_HIGH] = FRAMES_MAX / BITS;
}

/* The bits of a word that stand for frames of [first, end); the word holds at least one. */
static uint32_t bits_in_range(uint32_t word, uint32_t first, uint32_t end)
{
    uint32_t low = word * BITS < first ? first - word * BITS : 0;
    uint32_t high = (word + 1) * BITS > end ? (word + 1) * BITS - end : 0;
    return 0xffffffffu << low & 0xffffffffu >> high;
}

void frames_add(struct frames *f, uint32_t first, uint32_t end)
{
    end = clip(end);
    if (first >= end)
        return;
    for (uint32_t word = first / BITS; word * BITS < end; word++) {
        uint32_t added = f->fixed[word] & bits_in_range(word, first, end);
        f->fixed[word] &= ~added;
        f->used[word] &= ~added;
        f->total += count_bits(added);
    }
    lower_hint(f, first);
    if (first < f->split && f->split < end)
        lower_hint(f, f->split);
    if (end > f->end)
        f->end = end;
}

/* Takes the free frames of a range out of circulation for good; returns how many they were. */
static uint32_t fix(struct frames *f, uint32_t first, uint32_t end)
{
    uint32_t count = 0;

    end = clip(end);
    for (uint32_t word = first / BITS; first < end && word * BITS < end; word++) {
        uint32_t fixed = ~f->used[word] & bits_in_range(word, first, end);
        f->used[word] |= fixed;
        f->fixed[word] |= fixed;
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

uint32_t frames_alloc(struct frames *f, enum frames_zone zone)
{
    uint32_t end = zone_end(f, zone) / BITS;
    uint32_t word = f->first_word[zone];

    while (word < end && f->used[word] == 0xffffffffu)
        word++;
    f->first_word[zone] = word;
    if (word == end)
        return FRAMES_NONE;

    uint32_t frame = word * BITS + (uint32_t)__builtin_ctz(~f->used[word]);
    set_bit(f->used, frame);
    f->allocated++;
    return frame;
}

bool frames_free(struct frames *f, uint32_t frame)
{
    if (frames_state(f, frame) != FRAME_ALLOCATED)
        return false;
    clear_bit(f->used, frame);
    f->allocated--;
    lower_hint(f, frame);
    return true;
}

uint32_t frames_free_count(const struct frames *f)
{
    return f->total - f->reserved - f->allocated;
}

enum frames_state frames_state(const struct frames *f, uint32_t frame)
{
    if (frame >= FRAMES_MAX || test_bit(f->fixed, frame))
        return FRAME_HOLE_OR_RESERVED;
    return test_bit(f->used, frame) ? FRAME_ALLOCATED : FRAME_FREE;
}

enum frames_fault frames_validate(const struct frames *f)
{
    uint32_t free = 0, allocated = 0;

    for (uint32_t frame = 0; frame < FRAMES_MAX; frame++) {
        bool used = test_bit(f->used, frame);
        bool fixed = test_bit(f->fixed, frame);

        if (fixed && !used)
            return FRAMES_FIXED_FREE;
        if (!fixed && frame >= f->end)
            return FRAMES_PAST_END;
        if (!used && frame / BITS < f->first_word[zone_of(f, frame)])
            return FRAMES_HINT;
        free += !used;
        allocated += used && !fixed;
    }
    if (allocated != f->allocated)
        return FRAMES_ALLOCATED_COUNT;
    if (free != frames_free_count(f))
        return FRAMES_FREE_COUNT;
    return FRAMES_SOUND;
}
