/*
 * QR codes made of characters.
 */
#include <lib/qr_text.h>
#include <lib/string.h>

#define WHITE_ON_BLACK "\033[97;40m"
#define PLAIN          "\033[0m\n"

/* A cell's squares, column by column: the bit that each sets in `shapes`' index or in a pattern. */
static const struct cell_kind {
    uint8_t width, height;
    uint8_t bits[2][4];
} kinds[] = {
    [QR_HALF_BLOCKS] = { 1, 2, { { 0, 1 } } },
    [QR_BRAILLE] = { 2, 4, { { 0, 1, 2, 6 }, { 3, 4, 5, 7 } } },
};

static uint32_t divide_up(uint32_t value, uint32_t by)
{
    return (value + by - 1) / by;
}

uint32_t qr_text_columns(uint32_t version, enum qr_cells cells)
{
    return divide_up(QR_SIZE(version) + 2 * QR_QUIET_ZONE, kinds[cells].width);
}

uint32_t qr_text_rows(uint32_t version, enum qr_cells cells)
{
    return divide_up(QR_SIZE(version) + 2 * QR_QUIET_ZONE, kinds[cells].height);
}

uint32_t qr_text_version(uint32_t columns, uint32_t rows, enum qr_cells cells)
{
    uint32_t version = QR_VERSION_MAX;

    while (version > 0 &&
           (qr_text_columns(version, cells) > columns || qr_text_rows(version, cells) > rows))
        version--;
    return version;
}

/* The light modules of a cell whose upper left one is (x, y), as bits. */
static uint32_t light_modules(const struct qr *qr, int x, int y, const struct cell_kind *kind)
{
    uint32_t light = 0;

    for (int i = 0; i < kind->width; i++) {
        for (int j = 0; j < kind->height; j++)
            light |= (uint32_t)!qr_is_dark(qr, x + i, y + j) << kind->bits[i][j];
    }
    return light;
}

static size_t append(char *text, size_t length, const char *more)
{
    size_t count = strlen(more);

    memcpy(text + length, more, count);
    return length + count;
}

static size_t append_cell(char *text, size_t length, enum qr_cells cells, uint32_t light)
{
    static const char *const blocks[4] = { " ", "\u2580", "\u2584", "\u2588" };
    /* U+2800 and up in UTF-8 */
    const char braille[4] = { (char)0xe2, (char)(0xa0 | light >> 6), (char)(0x80 | (light & 0x3f)),
                              '\0' };

    return append(text, length, cells == QR_BRAILLE ? braille : blocks[light]);
}

size_t qr_text_row(const struct qr *qr, uint32_t row, enum qr_cells cells,
                   char text[QR_TEXT_ROW_MAX])
{
    const struct cell_kind *kind = &kinds[cells];
    int start = -(int)QR_QUIET_ZONE, end = (int)(qr->size + QR_QUIET_ZONE);
    int y = start + (int)(row * kind->height);
    size_t length = append(text, 0, WHITE_ON_BLACK);

    for (int x = start; x < end; x += kind->width)
        length = append_cell(text, length, cells, light_modules(qr, x, y, kind));
    return append(text, length, PLAIN);
}
