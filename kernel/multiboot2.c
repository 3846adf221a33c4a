/*
 * The Multiboot2 tag parser.
 *
 * All reads go through get8, get32 and get64, which check their offset against the block's size.
 * Offsets stay below MULTIBOOT2_MAX_SIZE, so that no sum of two of them can wrap.
 */
#include <multiboot2.h>

#define BLOCK_HEAD       8u /* total size, reserved */
#define TAG_HEAD         8u /* type, size */

#define TAG_END          0u
#define TAG_COMMAND_LINE 1u
#define TAG_LOADER_NAME  2u
#define TAG_MODULE       3u
#define TAG_MEMORY_MAP   6u
#define TAG_FRAMEBUFFER  8u
#define TAG_EFI32        11u
#define TAG_EFI64        12u

#define MEMORY_MAP_HEAD  16u /* tag head, entry size, entry version */
#define MEMORY_MAP_ENTRY 24u /* base, length, type, reserved */
#define MODULE_HEAD      16u /* tag head, start, end */
#define FRAMEBUFFER_SIZE 30u /* up to and with the type */

/* Two reserved bytes follow the type, in GRUB's multiboot2.h as in what it writes. */
#define FRAMEBUFFER_COLOURS                                                                        \
    32u /* RGB: position and size of red, green, blue; or a palette's count */
#define FRAMEBUFFER_PALETTE 34u
#define PALETTE_ENTRY       3u

struct tag {
    uint32_t offset, type, size;
};

static bool get8(const struct multiboot2 *mb, uint32_t offset, uint8_t *value)
{
    *value = 0;
    if (offset >= mb->size)
        return false;
    *value = mb->info[offset];
    return true;
}

static bool get32(const struct multiboot2 *mb, uint32_t offset, uint32_t *value)
{
    *value = 0;
    if (mb->size < 4 || offset > mb->size - 4)
        return false;
    for (uint32_t i = 0; i < 4; i++)
        *value |= (uint32_t)mb->info[offset + i] << (8 * i);
    return true;
}

static bool get64(const struct multiboot2 *mb, uint32_t offset, uint64_t *value)
{
    uint32_t low, high;
    bool ok = get32(mb, offset, &low) && get32(mb, offset + 4, &high);

    *value = ok ? (uint64_t)high << 32 | low : 0;
    return ok;
}

const char *multiboot2_status_text(enum multiboot2_status status)
{
    switch (status) {
    case MULTIBOOT2_ITEM:
        return "one more item";
    case MULTIBOOT2_END:
        return "end of the tags";
    case MULTIBOOT2_BAD_SIZE:
        return "the information block's size is impossible";
    case MULTIBOOT2_BAD_TAG:
        return "a tag's size is impossible";
    case MULTIBOOT2_BAD_ENTRY_SIZE:
        return "the memory map's entry size is unknown";
    }
    return "unknown status";
}

enum multiboot2_status multiboot2_open(struct multiboot2 *mb, const void *info, uint32_t available)
{
    struct multiboot2 head = { info, available };
    uint32_t size;

    mb->info = info;
    mb->size = 0;
    if (!get32(&head, 0, &size) || size < BLOCK_HEAD || size > available ||
        size > MULTIBOOT2_MAX_SIZE)
        return MULTIBOOT2_BAD_SIZE;
    mb->size = size;
    return MULTIBOOT2_ITEM;
}

/* Reads the tag at `offset`; a block may end without an end tag. */
static enum multiboot2_status read_tag(const struct multiboot2 *mb, uint32_t offset,
                                       struct tag *tag)
{
    tag->offset = offset;
    tag->type = TAG_END;
    tag->size = 0;
    if (offset >= mb->size)
        return MULTIBOOT2_END;
    if (!get32(mb, offset, &tag->type) || !get32(mb, offset + 4, &tag->size) ||
        tag->size < TAG_HEAD || tag->size > mb->size - offset)
        return MULTIBOOT2_BAD_TAG;
    return tag->type == TAG_END ? MULTIBOOT2_END : MULTIBOOT2_ITEM;
}

/* Tags begin at multiples of 8. */
static uint32_t offset_after(const struct tag *tag)
{
    return (tag->offset + tag->size + 7u) & ~7u;
}

/* Finds the next tag of a type at or behind walk->tag and moves the walk behind it. */
static enum multiboot2_status next_tag(const struct multiboot2 *mb, struct multiboot2_walk *walk,
                                       uint32_t type, struct tag *tag)
{
    enum multiboot2_status status;

    if (walk->tag == 0)
        walk->tag = BLOCK_HEAD;
    do {
        status = read_tag(mb, walk->tag, tag);
        if (status == MULTIBOOT2_ITEM)
            walk->tag = offset_after(tag);
    } while (status == MULTIBOOT2_ITEM && tag->type != type);
    return status;
}

static enum multiboot2_status open_memory_map(const struct multiboot2 *mb, const struct tag *tag,
                                              uint32_t *entry_size)
{
    if (tag->size < MEMORY_MAP_HEAD)
        return MULTIBOOT2_BAD_TAG;
    if (!get32(mb, tag->offset + TAG_HEAD, entry_size) || *entry_size < MEMORY_MAP_ENTRY ||
        *entry_size % 8 != 0)
        return MULTIBOOT2_BAD_ENTRY_SIZE;
    return MULTIBOOT2_ITEM;
}

/*
 * While a memory map is being walked, walk->tag stays at its tag and walk->entry is the offset of
 * the next entry inside it.
 */
enum multiboot2_status multiboot2_next_region(const struct multiboot2 *mb,
                                              struct multiboot2_walk *walk,
                                              struct multiboot2_region *region)
{
    enum multiboot2_status status;
    struct tag tag;
    uint32_t entry_size, entry;

    *region = (struct multiboot2_region){ 0, 0, 0 };
    for (;;) {
        if (walk->entry == 0) {
            status = next_tag(mb, walk, TAG_MEMORY_MAP, &tag);
            if (status == MULTIBOOT2_ITEM) {
                walk->tag = tag.offset;
                walk->entry = MEMORY_MAP_HEAD;
            }
        } else {
            status = read_tag(mb, walk->tag, &tag);
        }
        if (status == MULTIBOOT2_ITEM)
            status = open_memory_map(mb, &tag, &entry_size);
        if (status != MULTIBOOT2_ITEM)
            return status;

        if (tag.size - walk->entry >= entry_size)
            break;
        walk->tag = offset_after(&tag);
        walk->entry = 0;
    }

    entry = tag.offset + walk->entry;
    walk->entry += entry_size;
    if (!get64(mb, entry, &region->base) || !get64(mb, entry + 8, &region->length) ||
        !get32(mb, entry + 16, &region->type))
        return MULTIBOOT2_BAD_TAG;
    return MULTIBOOT2_ITEM;
}

/* Copies the string that begins at `from` inside a tag, cut to `size` and to the tag. */
static void copy_string(const struct multiboot2 *mb, const struct tag *tag, uint32_t from,
                        char *text, uint32_t size)
{
    uint32_t length = 0;
    uint8_t byte;

    while (length + 1 < size && from + length < tag->size &&
           get8(mb, tag->offset + from + length, &byte) && byte != 0)
        text[length++] = (char)byte;
    text[length] = '\0';
}

enum multiboot2_status multiboot2_next_module(const struct multiboot2 *mb,
                                              struct multiboot2_walk *walk,
                                              struct multiboot2_module *module)
{
    struct tag tag;
    enum multiboot2_status status = next_tag(mb, walk, TAG_MODULE, &tag);

    module->start = module->end = 0;
    module->command_line[0] = '\0';
    if (status != MULTIBOOT2_ITEM)
        return status;
    if (tag.size < MODULE_HEAD || !get32(mb, tag.offset + 8, &module->start) ||
        !get32(mb, tag.offset + 12, &module->end) || module->end < module->start)
        return MULTIBOOT2_BAD_TAG;
    copy_string(mb, &tag, MODULE_HEAD, module->command_line, sizeof(module->command_line));
    return MULTIBOOT2_ITEM;
}

static void copy_string_tag(const struct multiboot2 *mb, uint32_t type, char *text, uint32_t size)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct tag tag;

    text[0] = '\0';
    if (next_tag(mb, &walk, type, &tag) == MULTIBOOT2_ITEM)
        copy_string(mb, &tag, TAG_HEAD, text, size);
}

void multiboot2_command_line(const struct multiboot2 *mb, char *text, uint32_t size)
{
    copy_string_tag(mb, TAG_COMMAND_LINE, text, size);
}

void multiboot2_loader_name(const struct multiboot2 *mb, char *text, uint32_t size)
{
    copy_string_tag(mb, TAG_LOADER_NAME, text, size);
}

static bool find_framebuffer(const struct multiboot2 *mb, struct tag *tag)
{
    struct multiboot2_walk walk = { 0, 0 };

    return next_tag(mb, &walk, TAG_FRAMEBUFFER, tag) == MULTIBOOT2_ITEM &&
           tag->size >= FRAMEBUFFER_SIZE;
}

static bool get_channel(const struct multiboot2 *mb, uint32_t offset,
                        struct multiboot2_channel *channel)
{
    return get8(mb, offset, &channel->position) && get8(mb, offset + 1, &channel->size);
}

/* What the tag says of colours, as far as it reaches. */
static void read_colours(const struct multiboot2 *mb, const struct tag *tag,
                         struct multiboot2_framebuffer *fb)
{
    uint32_t at = tag->offset + FRAMEBUFFER_COLOURS;
    struct multiboot2_channel red, green, blue;
    uint8_t low, high;

    if (fb->type == MULTIBOOT2_FRAMEBUFFER_RGB && tag->size >= FRAMEBUFFER_COLOURS + 6 &&
        get_channel(mb, at, &red) && get_channel(mb, at + 2, &green) &&
        get_channel(mb, at + 4, &blue)) {
        fb->red = red;
        fb->green = green;
        fb->blue = blue;
    }
    if (fb->type == MULTIBOOT2_FRAMEBUFFER_INDEXED && tag->size >= FRAMEBUFFER_PALETTE &&
        get8(mb, at, &low) && get8(mb, at + 1, &high)) {
        uint32_t said = low | (uint32_t)high << 8;
        uint32_t there = (tag->size - FRAMEBUFFER_PALETTE) / PALETTE_ENTRY;
        fb->colours = said < there ? said : there;
    }
}

bool multiboot2_framebuffer(const struct multiboot2 *mb, struct multiboot2_framebuffer *fb)
{
    struct tag tag;

    *fb = (struct multiboot2_framebuffer){ 0 };
    if (!find_framebuffer(mb, &tag) || !get64(mb, tag.offset + 8, &fb->address) ||
        !get32(mb, tag.offset + 16, &fb->pitch) || !get32(mb, tag.offset + 20, &fb->width) ||
        !get32(mb, tag.offset + 24, &fb->height) || !get8(mb, tag.offset + 28, &fb->bits) ||
        !get8(mb, tag.offset + 29, &fb->type))
        return false;
    read_colours(mb, &tag, fb);
    return true;
}

bool multiboot2_framebuffer_range(const struct multiboot2_framebuffer *fb, uint64_t *start,
                                  uint64_t *end)
{
    uint64_t row = (uint64_t)fb->width * ((fb->bits + 7u) / 8);
    uint64_t size = (uint64_t)fb->pitch * fb->height;

    *start = fb->address;
    *end = fb->address + size;
    return fb->width != 0 && size != 0 && fb->pitch >= row && size <= MULTIBOOT2_FRAMEBUFFER_MAX &&
           fb->address != 0 && *end > *start;
}

bool multiboot2_palette(const struct multiboot2 *mb, uint32_t index,
                        struct multiboot2_colour *colour)
{
    struct multiboot2_framebuffer fb;
    struct tag tag;

    *colour = (struct multiboot2_colour){ 0 };
    if (!multiboot2_framebuffer(mb, &fb) || index >= fb.colours || !find_framebuffer(mb, &tag))
        return false;
    uint32_t at = tag.offset + FRAMEBUFFER_PALETTE + index * PALETTE_ENTRY;
    return get8(mb, at, &colour->red) && get8(mb, at + 1, &colour->green) &&
           get8(mb, at + 2, &colour->blue);
}

static bool has_tag(const struct multiboot2 *mb, uint32_t type)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct tag tag;

    return next_tag(mb, &walk, type, &tag) == MULTIBOOT2_ITEM;
}

enum multiboot2_firmware multiboot2_firmware(const struct multiboot2 *mb)
{
    if (has_tag(mb, TAG_EFI64))
        return MULTIBOOT2_EFI64;
    return has_tag(mb, TAG_EFI32) ? MULTIBOOT2_EFI32 : MULTIBOOT2_BIOS;
}

bool multiboot2_rsdp(const struct multiboot2 *mb, enum multiboot2_rsdp_tag type,
                     struct multiboot2_rsdp *rsdp)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct tag tag;

    *rsdp = (struct multiboot2_rsdp){ 0 };
    if (next_tag(mb, &walk, (uint32_t)type, &tag) != MULTIBOOT2_ITEM)
        return false;
    while (rsdp->size < MULTIBOOT2_RSDP_MAX && rsdp->size < tag.size - TAG_HEAD &&
           get8(mb, tag.offset + TAG_HEAD + rsdp->size, &rsdp->bytes[rsdp->size]))
        rsdp->size++;
    return rsdp->size > 0;
}
