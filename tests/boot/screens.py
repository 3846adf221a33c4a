"""Text read back from a picture of the screen, by matching the glyphs of the kernel's font exactly.

A picture is a PPM as QEMU's screendump writes it. Cells begin in its top left corner; their size
is a multiple of the font's and is found by trying. A cell is read if it has at most two colours
and one of them draws a glyph on the other, each of its pixels a full square.
"""
import re
import struct

UNREADABLE = "\0"       # what stands for a cell that shows no glyph
SCALES = (1, 2, 3, 4)


class Font:
    """A PSF font, version 1 or 2: which character a bitmap shows."""

    def __init__(self, data):
        if data[:2] == b"\x36\x04":
            mode, self.height = data[2], data[3]
            self.width, count, start, utf8 = 8, 512 if mode & 1 else 256, 4, False
        else:
            assert data[:4] == b"\x72\xb5\x4a\x86"
            start, _, count, _, self.height, self.width = struct.unpack_from("<6I", data, 8)
            utf8 = True
        row = (self.width + 7) // 8
        size = row * self.height
        names = _names(data[start + count * size:], utf8)
        self.characters = {}            # by a tuple of the rows' bits as numbers
        for index, code_points in enumerate(names[:count]):
            bitmap = data[start + index * size:start + (index + 1) * size]
            bits = tuple(int.from_bytes(bitmap[at:at + row], "big") >> (8 * row - self.width)
                         for at in range(0, size, row))
            # Letters of several alphabets look alike; the likeliest is taken.
            alike = [*code_points, *self.characters.get(bits, "")]
            if alike:
                self.characters[bits] = min(alike, key=_rarity)


def _rarity(character):
    """A key that puts Latin 1 first, then lines and blocks, then all others."""
    code = ord(character)
    return 0 if code < 256 else 1 if 0x2500 <= code < 0x25a0 else 2, code


def _names(table, utf8):
    """The characters that each glyph shows by itself; sequences are passed over."""
    if utf8:
        return [part.split(b"\xfe")[0].decode() for part in table.split(b"\xff")]
    units = struct.unpack(f"<{len(table) // 2}H", table[:len(table) // 2 * 2])
    names, name, alone = [], "", True
    for unit in units:
        if unit == 0xffff:
            names.append(name)
            name, alone = "", True
        elif unit == 0xfffe:
            alone = False
        elif alone:
            name += chr(unit)
    return names


class Picture:
    """A PPM of eight bits a colour."""

    def __init__(self, ppm):
        head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", ppm)
        self.width, self.height = int(head[1]), int(head[2])
        self.pixels = ppm[head.end():]
        self.stride = 3 * self.width


class Screen:
    """What a picture shows: lines without the blanks at their ends, and the cells' colours."""

    def __init__(self, reader, picture, scale):
        self.reader, self.picture, self.scale = reader, picture, scale
        self.columns = picture.width // (reader.font.width * scale)
        self.rows = picture.height // (reader.font.height * scale)
        self.lines = []

    def cell(self, row, column):
        """A cell's character, ink and paper; the colours are three bytes, ink None if blank."""
        return self.reader.decode(self.raw_cell(row, column), self.scale)

    def raw_cell(self, row, column):
        """The cell's pixels, one row after another."""
        width, height = 3 * self.reader.font.width * self.scale, self.reader.font.height * self.scale
        start = row * height * self.picture.stride + column * width
        stride = self.picture.stride
        return b"".join([self.picture.pixels[at:at + width]
                         for at in range(start, start + height * stride, stride)])


class Reader:
    """Reads pictures; it remembers cells, and rows of the last picture, because they come again."""

    def __init__(self, font):
        self.font = font
        self.scale = 1          # that of the last picture
        self.cells = {}         # by scale and the cell's pixels
        self.rows = {}          # by scale and the row's pixels

    def read(self, ppm):
        """The Screen that a picture shows, at the scale that leaves fewest cells unread."""
        picture = Picture(ppm)
        best, least = None, None
        for scale in sorted(SCALES, key=lambda s: s != self.scale):
            screen = self._read_at(picture, scale)
            unread = sum(line.count(UNREADABLE) for line in screen.lines) * scale * scale
            if best is None or unread < least:
                best, least = screen, unread
            if unread == 0 and any(screen.lines):
                break
        self.scale = best.scale
        return best

    def _read_at(self, picture, scale):
        screen = Screen(self, picture, scale)
        band = picture.stride * self.font.height * scale
        rows = {}
        for row in range(screen.rows):
            key = scale, picture.pixels[row * band:(row + 1) * band]
            if key not in rows:
                old = self.rows.get(key)
                rows[key] = self._read_row(screen, row) if old is None else old
            screen.lines.append(rows[key])
        self.rows = rows
        return screen

    def _read_row(self, screen, row):
        text = ""
        for column in range(screen.columns):
            key = screen.scale, screen.raw_cell(row, column)
            if key not in self.cells:
                self.cells[key] = self.decode(key[1], screen.scale)[0]
            text += self.cells[key]
        return text.rstrip()

    def decode(self, raw, scale):
        """The character, ink and paper of a cell's pixels. Full blocks look like blanks."""
        width, height = self.font.width, self.font.height
        colours = sorted({raw[at:at + 3] for at in range(0, len(raw), 3)}, key=sum)
        if len(colours) == 1:
            return " ", None, colours[0]
        # Rarely both readings are glyphs, as of half blocks: dark paper is likelier.
        for paper, ink in [colours, colours[::-1]] if len(colours) == 2 else []:
            bits, at = [], 0
            for _ in range(height):
                line = raw[at:at + 3 * width * scale]
                number = sum(1 << width - 1 - x for x in range(width)
                             if line[3 * x * scale:3 * x * scale + 3] == ink)
                doubled = b"".join((ink if number >> (width - 1 - x) & 1 else paper) * scale
                                   for x in range(width))
                if raw[at:at + len(line) * scale] != doubled * scale:
                    return UNREADABLE, ink, paper
                bits.append(number)
                at += len(line) * scale
            if tuple(bits) in self.font.characters:
                return self.font.characters[tuple(bits)], ink, paper
        return UNREADABLE, None, None
