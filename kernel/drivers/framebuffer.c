/*
 * The framebuffer: cells are glyphs of the embedded font, in whole multiples of its size.
 *
 * It is written by its physical address until paging is on, and through a window from then on; one
 * that reaches above 4 GiB only through the window. Between the two `mapped` keeps it from being
 * touched, so that a panic there cannot fault again and again.
 */
#include <drivers/framebuffer.h>
#include <boot_info.h>
#include <drivers/pixel.h>
#include <drivers/psf.h>
#include <lib/printf.h>
#include <mem/paging.h>
#include <mem/window.h>
#include <panic.h>
#include <x86/cpu.h>

#define FOUR_GIB        (1ull << 32)
#define PLACES          2048u /* for characters that the font has; a power of two */
#define REPLACEMENT     0xfffdu
#define BRAILLE         0x2800u /* and 255 more, a bit for each dot */
#define INDEXED_COLOURS 256u    /* of eight bits */

/* The font file, from font.S. */
extern const uint8_t font_start[], font_end[];

/* The sixteen colours in VGA's order, on a background that is not quite black. */
static const struct rgb palette[16] = {
    { 0x10, 0x14, 0x1a }, { 0x4a, 0x80, 0xc8 }, { 0x6a, 0xab, 0x5e }, { 0x45, 0xa5, 0xa8 },
    { 0xd0, 0x5a, 0x52 }, { 0xa5, 0x6c, 0xc0 }, { 0xc2, 0x96, 0x48 }, { 0xc8, 0xcc, 0xd2 },
    { 0x6c, 0x76, 0x84 }, { 0x7a, 0xb0, 0xf5 }, { 0x98, 0xd8, 0x88 }, { 0x7c, 0xd6, 0xd8 },
    { 0xff, 0x84, 0x78 }, { 0xd2, 0xa4, 0xee }, { 0xf2, 0xd2, 0x7a }, { 0xf6, 0xf8, 0xfa },
};

static struct surface surface; /* memory is NULL while there is no address to write to */
static struct multiboot2_framebuffer tag;
static bool mapped;
static uint32_t scale;
static uint32_t colours[16]; /* the palette as pixels */
static struct psf font;
static uint32_t unknown; /* the glyph of what the font lacks */

/* The characters of the font, each at its place or the next that was free. */
static struct {
    uint16_t character; /* 0: free */
    uint16_t glyph;
} known[PLACES];

/* Of what boot_info_framebuffer_fault() has nothing against: no overflow. */
static uint32_t size_in_bytes(void)
{
    return surface.pitch * surface.height;
}

/* ---- Drawing ---- */

/* Where the character is, or where it belongs: some places are always free. */
static uint32_t place_of(uint16_t character)
{
    uint32_t place = character % PLACES;

    while (known[place].character != 0 && known[place].character != character)
        place = (place + 1) % PLACES;
    return place;
}

static uint32_t glyph_of(uint16_t character)
{
    uint32_t place = place_of(character);
    return known[place].character != 0 ? known[place].glyph : unknown;
}

/* A Braille pattern, which a console font lacks, as eight rectangles that fill the cell. */
static void draw_braille(uint32_t x, uint32_t y, uint32_t pattern, uint32_t ink, uint32_t paper)
{
    static const uint8_t bits[2][4] = { { 0, 1, 2, 6 }, { 3, 4, 5, 7 } }; /* columns of dots */
    uint32_t width = font.width * scale, height = font.height * scale;

    for (uint32_t i = 0; i < 8; i++) {
        uint32_t left = width * (i / 4) / 2, right = width * (i / 4 + 1) / 2;
        uint32_t top = height * (i % 4) / 4, bottom = height * (i % 4 + 1) / 4;
        pixel_fill(&surface, x + left, y + top, right - left, bottom - top,
                   pattern >> bits[i / 4][i % 4] & 1 ? ink : paper);
    }
}

static void draw(unsigned row, unsigned column, struct terminal_cell cell)
{
    uint32_t x = column * font.width * scale, y = row * font.height * scale;
    uint32_t ink = colours[cell.attribute & 0x0f], paper = colours[cell.attribute >> 4];

    if (cell.character >= BRAILLE && cell.character < BRAILLE + 256u) {
        draw_braille(x, y, cell.character - BRAILLE, ink, paper);
        return;
    }
    struct glyph glyph = { psf_glyph(&font, glyph_of(cell.character)), font.width, font.height,
                           font.row_bytes };

    pixel_draw_glyph(&surface, x, y, &glyph, scale, ink, paper);
}

static void clear(void)
{
    pixel_fill(&surface, 0, 0, surface.width, surface.height, colours[0]);
}

static bool ready(void)
{
    return surface.memory != NULL && (mapped || !paging_enabled());
}

static const char *map(void)
{
    void *window = map_window(tag.address, size_in_bytes(), WINDOW_FRAMEBUFFER);

    if (window == NULL)
        return "out of reach";
    bool was_drawn = surface.memory != NULL;
    surface.memory = window;
    mapped = true;
    if (!was_drawn)
        clear();
    return NULL;
}

static void describe(char *text, size_t size)
{
    ksnprintf(text, size, " %ux%ux%u at 0x%08llx, %s", tag.width, tag.height, tag.bits, tag.address,
              cpu.has_pat ? "write-combining" : "uncached");
}

/* ---- Opening ---- */

static struct pixel_channel channel(struct multiboot2_channel from)
{
    return (struct pixel_channel){ from.position, from.size };
}

static bool set_direct_colours(void)
{
    struct pixel_format format = { tag.bits, channel(tag.red), channel(tag.green),
                                   channel(tag.blue) };

    if (!pixel_format_valid(&format))
        return false;
    for (uint32_t i = 0; i < ARRAY_SIZE(palette); i++)
        colours[i] = pixel_pack(&format, palette[i]);
    return true;
}

/* Each colour becomes the nearest of those that the loader set. */
static bool set_indexed_colours(void)
{
    static struct rgb loaders[INDEXED_COLOURS];
    struct multiboot2_colour colour;
    uint32_t count = 0;

    while (count < INDEXED_COLOURS && multiboot2_palette(boot_info(), count, &colour))
        loaders[count++] = (struct rgb){ colour.red, colour.green, colour.blue };
    if (tag.bits != 8 || count < 2)
        return false;
    for (uint32_t i = 0; i < ARRAY_SIZE(palette); i++)
        colours[i] = pixel_nearest(loaders, count, palette[i]);
    return true;
}

static bool set_colours(void)
{
    if (tag.type == MULTIBOOT2_FRAMEBUFFER_RGB)
        return set_direct_colours();
    return tag.type == MULTIBOOT2_FRAMEBUFFER_INDEXED && set_indexed_colours();
}

/*
 * Searching the font's table takes thousands of steps: too long for cells, which are drawn with
 * interrupts off. What fills more than half of the places is left out: no console font does.
 */
static void learn_characters(void)
{
    struct psf_walk walk = { 0 };
    uint32_t character, glyph, count = 0;

    while (count < PLACES / 2 && psf_next(&font, &walk, &character, &glyph)) {
        uint32_t place = place_of((uint16_t)character);
        if (character == 0 || character > UINT16_MAX || known[place].character != 0)
            continue; /* the first glyph that shows it is the one */
        known[place].character = (uint16_t)character;
        known[place].glyph = (uint16_t)glyph;
        count++;
    }
}

static void open_font(void)
{
    bool is_font = psf_open(&font, font_start, (size_t)(font_end - font_start));
    ASSERT(is_font && font.count >= 256);

    unknown = psf_find(&font, REPLACEMENT);
    if (unknown == PSF_NONE)
        unknown = psf_find(&font, '?');
    if (unknown == PSF_NONE)
        unknown = 0;
    learn_characters();
}

const struct screen_device *framebuffer_open(const struct multiboot2_framebuffer *fb,
                                             const char **problem)
{
    static struct screen_device device = {
        .name = "framebuffer",
        .draws_braille = true,
        .map = map,
        .ready = ready,
        .draw = draw,
        .describe = describe,
    };
    struct pixel_layout layout;

    tag = *fb;
    open_font();
    if (!set_colours()) {
        *problem = "pixels of an unknown kind";
        return NULL;
    }
    if (!pixel_layout(&layout, tag.width, tag.height, font.width, font.height, SCREEN_CELLS_MAX)) {
        *problem = "too small";
        return NULL;
    }
    surface = (struct surface){ NULL, tag.width, tag.height, tag.pitch, pixel_bytes(tag.bits) };
    scale = layout.scale;
    device.columns = layout.columns;
    device.rows = layout.rows;
    if (tag.address + size_in_bytes() <= FOUR_GIB && !paging_enabled()) {
        surface.memory = (uint8_t *)(uintptr_t)tag.address;
        clear();
    }
    return &device;
}
