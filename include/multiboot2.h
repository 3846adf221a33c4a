/*
 * The Multiboot2 information block, read as a buffer of bytes that nobody vouches for.
 *
 * Pure: nothing outside [info, info + size) is read, whatever the bytes say. A tag that is broken
 * ends the walk with an error, never a loop; what was read before it stays valid.
 *
 * Source: Multiboot2 Specification 2.0, "Boot information format".
 */
#ifndef MULTIBOOT2_H
#define MULTIBOOT2_H

#include <types.h>

#define MULTIBOOT2_MAGIC    0x36d76289u /* what the loader leaves in EAX */

/* A block that claims to be larger is not believed. */
#define MULTIBOOT2_MAX_SIZE (4u * MIB)

enum multiboot2_status {
    MULTIBOOT2_ITEM,           /* there was another one */
    MULTIBOOT2_END,            /* there was none left */
    MULTIBOOT2_BAD_SIZE,       /* the block's own size makes no sense */
    MULTIBOOT2_BAD_TAG,        /* a tag is smaller than its head or runs past the block's end */
    MULTIBOOT2_BAD_ENTRY_SIZE, /* memory map entries of unknown shape */
};

/* A few words for a status. */
const char *multiboot2_status_text(enum multiboot2_status status);

struct multiboot2 {
    const uint8_t *info;
    uint32_t size; /* as the block says, checked */
};

/* Where a walk stands. Zero-initialised, it stands before the first item. */
struct multiboot2_walk {
    uint32_t tag;   /* offset of the tag that the next item is searched from; 0: the first */
    uint32_t entry; /* memory map: offset of the next entry inside this tag; 0: none open */
};

struct multiboot2_region {
    uint64_t base, length;
    uint32_t type;
};

struct multiboot2_module {
    uint32_t start, end;    /* physical, [start, end); an empty module has start = end = 0 */
    char command_line[128]; /* cut to fit, always terminated */
};

enum multiboot2_framebuffer_type {
    MULTIBOOT2_FRAMEBUFFER_INDEXED = 0,
    MULTIBOOT2_FRAMEBUFFER_RGB = 1,
    MULTIBOOT2_FRAMEBUFFER_EGA_TEXT = 2,
};

/* The place of a colour's share in a pixel: `size` bits from bit `position` on. Unchecked. */
struct multiboot2_channel {
    uint8_t position, size;
};

struct multiboot2_colour {
    uint8_t red, green, blue;
};

struct multiboot2_framebuffer {
    uint64_t address;
    uint32_t pitch, width, height; /* for text: bytes a row, columns, rows */
    uint8_t bits, type;
    struct multiboot2_channel red, green, blue; /* RGB; all zero where the tag ends before them */
    uint32_t colours;                           /* indexed: in the palette, all of them there */
};

/* Where a copy of ACPI's root pointer comes from: the tag's type. */
enum multiboot2_rsdp_tag {
    MULTIBOOT2_RSDP_OLD = 14, /* as ACPI 1.0 knows it */
    MULTIBOOT2_RSDP_NEW = 15, /* as ACPI 2.0 and later know it */
};

#define MULTIBOOT2_RSDP_MAX 36u

struct multiboot2_rsdp {
    uint8_t bytes[MULTIBOOT2_RSDP_MAX]; /* unchecked; zero behind `size` */
    uint32_t size;                      /* how many of them the tag held */
};

/*
 * Opens a block at `info`, of which `available` bytes may be read. Returns MULTIBOOT2_ITEM, or
 * MULTIBOOT2_BAD_SIZE when its size is below 8, above `available` or MULTIBOOT2_MAX_SIZE.
 */
enum multiboot2_status multiboot2_open(struct multiboot2 *mb, const void *info, uint32_t available);

/* Each gives the walk's next item of its kind, END, or what is broken. */
enum multiboot2_status multiboot2_next_region(const struct multiboot2 *mb,
                                              struct multiboot2_walk *walk,
                                              struct multiboot2_region *region);
enum multiboot2_status multiboot2_next_module(const struct multiboot2 *mb,
                                              struct multiboot2_walk *walk,
                                              struct multiboot2_module *module);

/* Copies the kernel's command line, cut to `size`; "" when there is none. */
void multiboot2_command_line(const struct multiboot2 *mb, char *text, uint32_t size);

/* The loader's name, cut to `size`; "" when there is none. */
void multiboot2_loader_name(const struct multiboot2 *mb, char *text, uint32_t size);

enum multiboot2_firmware { MULTIBOOT2_BIOS, MULTIBOOT2_EFI32, MULTIBOOT2_EFI64 };

/* What started the loader: UEFI where there is a pointer to its system table. */
enum multiboot2_firmware multiboot2_firmware(const struct multiboot2 *mb);

/* Whether there is a framebuffer tag; if so, what it says. */
bool multiboot2_framebuffer(const struct multiboot2 *mb, struct multiboot2_framebuffer *fb);

/* More bytes are not believed: a screen of 16384 x 8192 pixels has as many. */
#define MULTIBOOT2_FRAMEBUFFER_MAX (512u * MIB)

/*
 * The bytes of a framebuffer, [*start, *end). False when its measures make no sense: nothing in
 * it, rows longer than their pitch, more than MULTIBOOT2_FRAMEBUFFER_MAX, the address 0 or one
 * that wraps.
 */
bool multiboot2_framebuffer_range(const struct multiboot2_framebuffer *fb, uint64_t *start,
                                  uint64_t *end) MUST_CHECK;

/* A colour of an indexed framebuffer's palette; false when there is no such entry. */
bool multiboot2_palette(const struct multiboot2 *mb, uint32_t index,
                        struct multiboot2_colour *colour);

/* Whether there is such a tag with anything in it; if so, a copy, cut to MULTIBOOT2_RSDP_MAX. */
bool multiboot2_rsdp(const struct multiboot2 *mb, enum multiboot2_rsdp_tag type,
                     struct multiboot2_rsdp *rsdp);

#endif
