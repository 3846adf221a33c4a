/*
 * QR codes made of half blocks.
 */
#include <lib/qr_text.h>
#include <lib/string.h>

#define WHITE_ON_BLACK "\033[97;40m"
#define PLAIN          "\033[0m\n"

uint32_t qr_text_version(uint32_t columns, uint32_t rows)
{
    uint32_t version = QR_VERSION_MAX;

    while (version > 0 && (QR_TEXT_COLUMNS(version) > columns || QR_TEXT_ROWS(version) > rows))
        version--;
    return version;
}

static size_t append(char *text, size_t length, const char *more)
{
    size_t count = strlen(more);

    memcpy(text + length, more, count);
    return length + count;
}

size_t qr_text_row(const struct qr *qr, uint32_t row, char text[QR_TEXT_ROW_MAX])
{
    /* By the lower module and the upper one, 1 for light. */
    static const char *const blocks[4] = { " ", "\u2580", "\u2584", "\u2588" };
    int y = (int)(2 * row) - (int)QR_QUIET_ZONE, end = (int)(qr->size + QR_QUIET_ZONE);
    size_t length = append(text, 0, WHITE_ON_BLACK);

    for (int x = -(int)QR_QUIET_ZONE; x < end; x++) {
        uint32_t upper = !qr_is_dark(qr, x, y), lower = !qr_is_dark(qr, x, y + 1);
        length = append(text, length, blocks[lower << 1 | upper]);
    }
    return append(text, length, PLAIN);
}
