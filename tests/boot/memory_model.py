"""The memory specification in a few lines of Python, and what the kernel prints of its memory.

Nothing is taken from the kernel's sources. Addresses are integers, ranges are half-open.
"""
import re
from dataclasses import dataclass

import images

PAGE = 4096
HEAP_BASE, HEAP_MAX = 0x18000000, 512 << 20
PMM_LIMIT = 512 << 20
LOW_MEMORY = 0x100000
SMALL_MAX = 256         # a larger request is always a block of its own
STACK_SIZE = (7 if images.CHECKING else 4) * PAGE
SHADOW = 1 / 8 if images.CHECKING else 0        # bytes of the checking build for each of heap and stacks

REGION = re.compile(r"\s*0x([0-9a-f]+) - 0x([0-9a-f]+)\s+(\S.*)")


# ---- The boot's report -------------------------------------------------------------------------

@dataclass
class BootReport:
    """The figures of the boot lines."""
    regions: list           # (start, end, words)
    managed: int            # KiB, like the next two
    free: int
    reserved: int
    identity: tuple         # (start, end)
    left_out: int           # KiB

    def usable_frames(self):
        """Which frames below the limit are RAM: whole and available; where two differ, reserved."""
        frames = bytearray(PMM_LIMIT // PAGE)
        for available in (True, False):
            for start, end, words in self.regions:
                if (words == "available") != available:
                    continue
                start, end = min(start, PMM_LIMIT), min(end, PMM_LIMIT)
                first, last = (-(-start // PAGE), end // PAGE) if available else \
                    (start // PAGE, -(-end // PAGE))
                frames[first:last] = bytes([available]) * max(0, last - first)
        return frames

    def expected_identity_end(self):
        return min((self.usable_frames().rindex(1) + 1) * PAGE, HEAP_BASE)

    def expected_left_out(self):
        """Bytes of available RAM that lie above the limit."""
        return sum(max(0, end - max(start, PMM_LIMIT))
                   for start, end, words in self.regions if words == "available")


def _kib(line, word):
    return int(re.search(rf"(\d+) KiB {word}", line)[1])


def read_boot(lines):
    """The report in the lines of a boot, each of which must be there once and in its form."""
    at = next(i for i, line in enumerate(lines) if "memory map" in line)
    regions = []
    while match := REGION.match(lines[at + 1 + len(regions)]):
        regions.append((int(match[1], 16), int(match[2], 16) + 1, match[3]))

    [pmm] = [line for line in lines if line.startswith("PMM") and "managed" in line]
    left_out = [int(re.search(r"(\d+) KiB", line)[1]) for line in lines if "left out" in line]
    [paging] = [line for line in lines if "paging enabled" in line]
    first, last = re.search(r"0x([0-9a-f]+) - 0x([0-9a-f]+)", paging).groups()
    return BootReport(regions, *(_kib(pmm, word) for word in ("managed", "free", "reserved")),
                      (int(first, 16), int(last, 16) + 1), sum(left_out))


# ---- Commands ----------------------------------------------------------------------------------

def meminfo(machine):
    """The figures of `meminfo` by name: kB or counts."""
    figures = {}
    for line in machine.command("meminfo"):
        key, value, unit = re.fullmatch(r"(\w+): +(\d+)( kB)?", line).groups()
        assert key not in figures and (unit is None) == (key in COUNTS), line
        figures[key] = int(value)
    assert list(figures) == KILOBYTES + COUNTS
    return figures


KILOBYTES = ["MemTotal", "MemFree", "MemUsed", "PageTables", "HeapTotal", "HeapUsed", "HeapFree",
             "HeapPeak", "HeapLargestFree"]
COUNTS = ["HeapBlocks", "HeapAllocs", "HeapFrees"]


def taken(figures):
    """What a command that gives everything back leaves as it was: the heap may keep free pages."""
    return ([figures[key] for key in ("MemTotal", "PageTables", "HeapUsed", "HeapBlocks")]
            + [figures["MemFree"] + figures["HeapTotal"], figures["HeapAllocs"] - figures["HeapFrees"]])


def frames_elsewhere(figures):
    """RAM in use that is neither the heap's nor in page tables, in kB. What grows here is a leak.

    It may fall: the first page tables come from a pool inside the kernel's image.
    """
    return figures["MemUsed"] - figures["HeapTotal"] - figures["PageTables"]


def address_of(line):
    """The address in a line that holds nothing else."""
    assert re.fullmatch("0x[0-9a-f]{8}", line), f"not an address: {line!r}"
    return int(line, 16)


def kmalloc(machine, size):
    """The address of a new block, or 0."""
    line = machine.one_line(f"kmalloc {size}")
    return 0 if line == "0" else address_of(line)


def kfree(machine, address):
    assert machine.one_line(f"kfree {address:#x}") == "ok"


def peek(machine, address, count=1):
    """Words of memory, as a list."""
    text = " ".join(machine.command(f"peek {address:#x} {count}"))
    words = [int(word, 16) for word in re.findall(r"0x([0-9a-f]{8})(?!:|[0-9a-f])", text)]
    assert len(words) == count, text
    return words


@dataclass
class Module:
    start: int
    end: int
    crc: int
    words: str


def modules(machine):
    """What `modules` lists."""
    lines = [line.split(" ", 3) for line in machine.command("modules", timeout=120)]
    return [Module(address_of(start), address_of(end), int(crc, 16), words)
            for start, end, crc, words in lines]


# ---- The heap ----------------------------------------------------------------------------------

def block_size(request):
    return max(16, (request + 4 + 7) // 8 * 8)


@dataclass
class HeapModel:
    """Address-ordered first fit, started from what `heap` lists.

    `blocks` is (address, size, used) in address order without the wilderness, which begins at
    `top`. Addresses are those of payloads, as in the listing.
    """

    blocks: list
    top: int

    def kmalloc(self, request):
        size = block_size(request)
        for i, (address, room, used) in enumerate(self.blocks):
            if used or room < size:
                continue
            if room - size < 16:
                size = room
            rest = [(address + size, room - size, False)] if room > size else []
            self.blocks[i:i + 1] = [(address, size, True), *rest]
            return address
        self.blocks.append((self.top, size, True))
        self.top += size
        return self.top - size

    def kfree(self, address):
        at = next(i for i, block in enumerate(self.blocks) if block[0] == address)
        self.blocks[at] = (address, self.blocks[at][1], False)
        merged = []
        for block in self.blocks:
            if merged and not merged[-1][2] and not block[2]:
                block = (merged[-1][0], merged.pop()[1] + block[1], False)
            merged.append(block)
        if not merged[-1][2]:
            self.top = merged.pop()[0]
        self.blocks = merged


def heap_listing(machine):
    """`heap` as a HeapModel and the size of the wilderness; checks that the listing is whole."""
    lines = [re.fullmatch(r"(0x[0-9a-f]{8}) (\d+) (used|free|top)", line)
             for line in machine.command("heap")]
    rows = [(int(line[1], 16), int(line[2]), line[3]) for line in lines if line]
    assert len(lines) > len(rows), "the totals are missing"

    expected = HEAP_BASE + 8
    for address, size, _ in rows:
        assert address == expected, f"a block at {address:#x} where {expected:#x} was next"
        expected = address + size
    assert [state for *_, state in rows].count("top") == 1 and rows[-1][2] == "top"
    blocks = [(address, size, state == "used") for address, size, state in rows[:-1]]
    return HeapModel(blocks, rows[-1][0]), rows[-1][1]


CHUNKS = re.compile(r"chunks: (\d+) of the used, with (\d+) live objects and (\d+) bytes "
                    "that are in none")


def heap_chunks(machine):
    """What `heap` says of small objects: chunks, live objects, and the chunks' other bytes."""
    lines = [match for line in machine.command("heap") if (match := CHUNKS.fullmatch(line))]
    return tuple(map(int, lines[0].groups())) if lines else (0, 0, 0)
