"""The screen on every kind of framebuffer that there is, and on some that there should not be."""
import re
import struct
import subprocess

import pytest

import images
import screens
from memory_model import read_boot

FULL = pytest.mark.full
QUICK = pytest.mark.quick

BIG = ["-vga", "none", "-device", "VGA,vgamem_mb=64,xres=1920,yres=1080"]
LETTERS = "ÄÖÜäöüß§°µ²│─░▀▄1б"     # the last two share a place among the remembered glyphs
RED, GREEN, YELLOW, WHITE = (b"\xff\x84\x78", b"\x98\xd8\x88", b"\xf2\xd2\x7a", b"\xc8\xcc\xd2")


def font():
    return screens.Font((images.BUILD / "font.psf").read_bytes())


def what_it_is(lines):
    """What the boot log says of the screen: exactly one line."""
    said = [line for line in lines if line.startswith("screen: ")]
    assert len(said) == 1
    return said[0]


def assert_edges_are_clear(seen):
    """What is left of the picture right of the cells and below them has the background's colour."""
    picture, font = seen.picture, seen.reader.font
    width, height = 3 * seen.columns * font.width * seen.scale, seen.rows * font.height * seen.scale
    rows = [picture.pixels[at:at + picture.stride]
            for at in range(0, picture.height * picture.stride, picture.stride)]
    edges = b"".join([row[width:] for row in rows[:height]] + rows[height:])
    paper = seen.cell(seen.rows - 1, seen.columns - 1)[2]
    assert edges == paper * (len(edges) // 3)


def assert_shows_what_com1_says(machine):
    machine.command("clear")
    expected = []
    for line in ("echo some words", "meminfo", f"echo {LETTERS}"):
        expected += [f"ronin> {line}", *machine.command(line)]
    machine.wait_screen(lambda lines: [*filter(None, lines)] == [*expected, "ronin>"])


@QUICK
def test_the_font_has_what_is_needed():
    have = set(font().characters.values())
    needed = {chr(code) for code in range(32, 127)} | set(LETTERS)
    needed |= set("┌┐└┘├┤┬┴┼═║╔╗╚╝╠╣╦╩╬░▒▓▌▐")
    assert needed - have == set()


# ---- Kinds that QEMU has -----------------------------------------------------------------------

@pytest.mark.parametrize("video, extra, said, size", [
    pytest.param(None, [], "1024x768x32 at 0xfd000000, write-combining", (128, 48), marks=QUICK),
    pytest.param(None, ["-cpu", "486"], "1024x768x32 at 0xfd000000, uncached", (128, 48),
                 marks=FULL),
    pytest.param(None, ["-vga", "cirrus"], "1024x768x24 at 0x", (128, 48), marks=QUICK),
    pytest.param("800x600x16", [], "800x600x16 at 0x", (100, 37), marks=QUICK),
    pytest.param("800x600x16", ["-vga", "cirrus"], "800x600x16 at 0x", (100, 37), marks=FULL),
    pytest.param("640x480x15", [], "640x480x15 at 0x", (80, 30), marks=FULL),
    pytest.param("1280x1024x32", [], "1280x1024x32 at 0x", (160, 64), marks=FULL),
    pytest.param("1920x1080x32", BIG, "1920x1080x32 at 0x", (120, 33), marks=QUICK),
])
def test_framebuffers(boot, video, extra, said, size):
    machine = boot(images.make_image(video=video), extra=extra)
    log = machine.command("dmesg")
    assert what_it_is(log).startswith(f"screen: framebuffer {said}")
    assert what_it_is(log).endswith(f", {size[0]}x{size[1]} cells")
    assert_shows_what_com1_says(machine)
    assert (machine.columns, machine.rows) == size
    assert_edges_are_clear(machine.look())


@QUICK
def test_text_mode_is_said(text_machine):
    assert what_it_is(text_machine.command("dmesg")) == "screen: VGA text, 80x25 cells"


@QUICK
def test_no_screen_is_said(start):
    machine = start(extra=["-vga", "none"])
    assert what_it_is(machine.prompt()) == "screen: none, the loader handed over none"


@FULL
@pytest.mark.parametrize("firmware", ["uefi", "uefi32"])
def test_uefi_framebuffers(boot, firmware):
    machine = boot(firmware=firmware)
    assert_shows_what_com1_says(machine)


# ---- What it shows -----------------------------------------------------------------------------

def ink_of(machine, text):
    """The colour of the first character of a text on the screen."""
    seen = machine.look()
    row = next(row for row, line in enumerate(seen.lines) if text in line)
    character, ink, paper = seen.cell(row, seen.lines[row].index(text))
    assert character == text[0] and paper == seen.cell(seen.rows - 1, seen.columns - 1)[2]
    return ink


@QUICK
def test_colours(machine):
    machine.command("clear")
    machine.command("heap_test")
    machine.command("no-such-command")
    machine.wait_screen("error: unknown")
    assert ink_of(machine, "PASS") == GREEN
    assert ink_of(machine, "heap_test:") == WHITE
    assert ink_of(machine, "error:") == RED
    assert ink_of(machine, "unknown") == WHITE
    assert ink_of(machine, "ronin>") == YELLOW


@QUICK
def test_com1_gets_no_colours(machine):
    """Programs read it, and a terminal there may not know the bytes that stand for them."""
    machine.command("no-such-command")
    assert not set(machine.received) & set(b"\x1c\x1d\x1e\x1f")


@QUICK
def test_the_cursor_is_a_cell_in_reverse(machine):
    machine.send("\x0cecho abc")
    machine.wait_screen(lambda lines: lines[0] == "ronin> echo abc")
    machine.wait_screen(lambda _: machine.look().cell(0, len("ronin> echo abc"))[2] == WHITE)
    machine.send("\x1b[D")
    machine.wait_screen(lambda _: machine.look().cell(0, len("ronin> echo ab"))[2] == WHITE)
    assert machine.look().cell(0, len("ronin> echo abc"))[2] != WHITE
    machine.send("\r")
    machine.prompt()


@QUICK
def test_the_cursor_leaves_a_row_for_one_above(machine):
    def paper(row, column):
        return machine.look().cell(row, column)[2]

    machine.send("\x0c" + "x" * 128)
    machine.wait_screen(lambda _: paper(1, len("ronin> ")) == WHITE)
    machine.send("\x01")
    machine.wait_screen(lambda _: paper(0, len("ronin> ")) == WHITE)
    assert paper(1, len("ronin> ")) != WHITE
    machine.send("\x03")
    machine.prompt()


@QUICK
@pytest.mark.parametrize("video", [None, pytest.param("text", marks=FULL)])
def test_a_panic_in_the_middle_of_drawing(boot, video):
    machine = boot(images.make_image(video=video))
    machine.send("peek 100000 1024\r" * 20)
    machine.wait_for("0x00100f00: ")
    machine.qmp("inject-nmi")
    machine.wait_for("PANIC: non-maskable interrupt")
    machine.wait_halted()
    lines = machine.screen()
    assert any(line.startswith("PANIC: non-maskable interrupt") for line in lines)
    assert [*filter(None, lines)][-1] == "The machine is halted."


# ---- What a loader could hand over -------------------------------------------------------------

# A debugger puts a block of our own in GRUB's place. Pixels go to RAM, and are read from there.
BLOCK = 0x3000000
PIXELS = 0x4000000              # beyond what the block calls memory
ABOVE_4_GIB = 0x110000000
RGB, INDEXED = 1, 0


def tag(kind, body):
    size = 8 + len(body)
    return struct.pack("<II", kind, size) + body + bytes(-size % 8)


def block(framebuffer, memory_end=0x3000000):
    regions = [(0, 0x9fc00, 1), (0x100000, memory_end - 0x100000, 1)]
    entries = b"".join(struct.pack("<QQII", *region, 0) for region in regions)
    tags = tag(6, struct.pack("<II", 24, 0) + entries) + tag(8, framebuffer) + tag(0, b"")
    return struct.pack("<II", 8 + len(tags), 0) + tags


def rgb(bits, channels, address=PIXELS, size=(800, 600), pitch=None, kind=RGB):
    pitch = pitch or size[0] * ((bits + 7) // 8)
    return struct.pack("<QIIIBBH", address, pitch, *size, bits, kind, 0) + bytes(channels)


def gdb_server(folder):
    """Options for a machine that a debugger can connect to."""
    return ["-gdb", f"unix:{folder}/gdb,server=on,wait=off"]


def debug(folder, *commands):
    """Has gdb run commands on the machine, which goes on after them."""
    commands = ["set architecture i386", f"target remote {folder}/gdb", *commands, "detach"]
    subprocess.run(["gdb", "-q", "-batch", images.BUILD / "roninos.elf",
                    *[word for command in commands for word in ("-ex", command)]],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True)


def hand_over(start, folder, info, **options):
    """A machine whose kernel gets this block."""
    file = folder / "block"
    file.write_bytes(info)
    machine = start(extra=["-S", *gdb_server(folder)], **options)
    debug(folder, "hbreak *start", "continue", f"restore {file} binary {BLOCK}",
          f"set $ebx = {BLOCK}", "delete")
    return machine


def photograph(machine, folder, framebuffer, palette=None):
    """The pixels that the kernel left in RAM, as a PPM."""
    address, pitch, width, height, bits, _, _ = struct.unpack_from("<QIIIBBH", framebuffer)
    machine.qmp("pmemsave", val=address, size=pitch * height, filename=f"{folder}/pixels")
    data = (folder / "pixels").read_bytes()
    length = (bits + 7) // 8
    shares = [framebuffer[20 + at:22 + at] for at in (4, 6, 8)]
    colours = {}

    def colour(raw):
        number = int.from_bytes(raw, "little")
        if palette:
            return palette[number]
        return bytes((number >> at & (1 << size) - 1) * 255 // ((1 << size) - 1)
                     for at, size in shares)

    rows = []
    for y in range(height):
        for x in range(y * pitch, y * pitch + width * length, length):
            raw = data[x:x + length]
            if raw not in colours:
                colours[raw] = colour(raw)
            rows.append(colours[raw])
    return b"P6\n%d %d\n255\n" % (width, height) + b"".join(rows)


def difference(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b))


BGR = [16, 8, 8, 8, 0, 8]
PALETTE = [bytes([r, g, b]) for r in (0, 80, 160, 240) for g in (0, 80, 160, 240)
           for b in (0, 80, 160, 240)]


@pytest.mark.parametrize("framebuffer, palette, options", [
    pytest.param(rgb(32, BGR, size=(1366, 768), pitch=5504), None, {}, marks=QUICK, id="laptop"),
    pytest.param(rgb(32, BGR, size=(2560, 1600)), None, {}, marks=FULL, id="tripled"),
    pytest.param(rgb(32, [0, 8, 8, 8, 16, 8]), None, {}, marks=FULL, id="blue-first"),
    pytest.param(rgb(32, [20, 10, 10, 10, 0, 10]), None, {}, marks=FULL, id="ten-bits"),
    pytest.param(rgb(24, [0, 8, 8, 8, 16, 8], pitch=2411), None, {}, marks=QUICK,
                 id="24-odd-pitch"),
    pytest.param(rgb(16, [0, 5, 5, 6, 11, 5]), None, {}, marks=FULL, id="16-blue-first"),
    pytest.param(rgb(8, struct.pack("<H", 64) + b"".join(PALETTE), kind=INDEXED), PALETTE, {},
                 marks=QUICK, id="palette"),
    pytest.param(rgb(32, BGR, address=ABOVE_4_GIB), None, {"memory": "4352M", "cpu": "pentium3"},
                 marks=QUICK, id="above-4-gib"),
])
def test_any_format(start, tmp_path, framebuffer, palette, options):
    machine = hand_over(start, tmp_path, block(framebuffer), **options)
    what_it_is(machine.prompt())
    machine.command("clear")
    machine.command(f"echo {LETTERS}")
    reader, expected = screens.Reader(font()), [f"ronin> echo {LETTERS}", LETTERS, "ronin>"]

    def seen():
        return reader.read(photograph(machine, tmp_path, framebuffer, palette))

    machine.wait_screen(lambda _: [*filter(None, seen().lines)] == expected)
    shown = seen()
    assert_edges_are_clear(shown)
    _, ink, _ = shown.cell(shown.lines.index("ronin>"), 0)
    assert difference(ink, min(palette or [YELLOW], key=lambda c: difference(c, YELLOW))) < 8 * 8


@pytest.mark.parametrize("framebuffer, why", [
    pytest.param(rgb(32, BGR, kind=7), "pixels of an unknown kind", marks=QUICK, id="kind"),
    pytest.param(rgb(32, [0] * 6), "pixels of an unknown kind", marks=FULL, id="no-channels"),
    pytest.param(rgb(32, [30, 8, 8, 8, 0, 8]), "pixels of an unknown kind",
                 marks=FULL, id="channel-outside"),
    pytest.param(rgb(64, BGR), "pixels of an unknown kind", marks=FULL, id="64-bits"),
    pytest.param(rgb(32, BGR)[:22], "pixels of an unknown kind", marks=FULL, id="tag-cut"),
    pytest.param(rgb(32, BGR, pitch=3199), "impossible measures", marks=QUICK, id="pitch"),
    pytest.param(rgb(32, BGR, size=(0, 0), pitch=8), "impossible measures",
                 marks=FULL, id="empty"),
    pytest.param(rgb(32, BGR, size=(0x40000001, 600), pitch=0xffffffff), "impossible measures",
                 marks=FULL, id="huge"),
    pytest.param(rgb(32, BGR, address=0xfffffffffffff000), "impossible measures",
                 marks=FULL, id="wraps"),
    pytest.param(rgb(32, BGR, address=0x20000000000), "out of reach", marks=QUICK, id="far"),
    pytest.param(rgb(32, BGR, address=0x120000, size=(4096, 3008)), "over memory in use",
                 marks=QUICK, id="on-the-kernel"),
    pytest.param(rgb(32, BGR, address=0x8000, size=(100, 100)), "over memory in use",
                 marks=FULL, id="on-low-memory"),
    pytest.param(rgb(32, BGR, address=0xb0000, size=(320, 200)), "over memory in use",
                 marks=FULL, id="on-roms"),
    pytest.param(rgb(32, BGR, address=BLOCK - 1, size=(800, 600)), "over memory in use",
                 marks=FULL, id="on-the-block"),
    pytest.param(rgb(32, BGR, address=0x400000, size=(4096, 1600)), "over most of the RAM",
                 marks=QUICK, id="on-most-ram"),
    pytest.param(rgb(32, BGR, size=(159, 80)), "too small", marks=QUICK, id="narrow"),
    pytest.param(rgb(32, BGR, size=(160, 79)), "too small", marks=FULL, id="low"),
])
def test_what_cannot_be_used_is_said(start, tmp_path, framebuffer, why):
    machine = hand_over(start, tmp_path, block(framebuffer))
    assert what_it_is(machine.prompt()).startswith(f"screen: none, {why}: framebuffer ")
    assert [line for line in machine.command("diag") if line.startswith("output")] == ["output COM1"]
    assert not any("screen" in line for line in machine.command("threads"))


@QUICK
def test_a_framebuffer_in_ram_is_kept_from_use(start, tmp_path):
    reserved = []
    for address in (PIXELS, 0x2000000):
        machine = hand_over(start, tmp_path, block(rgb(32, BGR, address)))
        reserved.append(read_boot(machine.prompt()).reserved)
        machine.close()
    assert reserved[1] - reserved[0] == -(-800 * 600 * 4 // 4096) * 4      # KiB


@QUICK
def test_an_early_panic_is_on_the_framebuffer(start, tmp_path):
    """Too little memory: paging never comes up, and the heap never exists."""
    framebuffer = rgb(32, BGR)
    machine = hand_over(start, tmp_path, block(framebuffer, memory_end=0x180000))
    machine.wait_for("PANIC: too little memory")
    machine.wait_halted()
    lines = screens.Reader(font()).read(photograph(machine, tmp_path, framebuffer)).lines
    assert any(line.startswith("PANIC: too little memory") for line in lines)
    assert [*filter(None, lines)][-1] == "The machine is halted."


@QUICK
def test_a_screen_that_faults_is_given_up(boot, tmp_path):
    """The report comes over COM1, and tells of the first of the faults."""
    machine = boot(extra=gdb_server(tmp_path))
    debug(tmp_path, "set var framebuffer_open::device.draw = 0x90000000")
    machine.send("echo x\r")
    machine.wait_for("(a second panic while this one was being reported)")
    report = machine.wait_for(re.compile(rb"PANIC: .*0x90000000(?s:.*)The machine is halted"))[0]
    assert b"thread screen" in report and b"drawing_thread+" in report
    assert b"panic" not in report and b"trap_dispatch" not in report
