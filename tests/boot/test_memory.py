"""RAM of every size, and that the three steps PMM, paging and heap treat it as specified."""
import re

import pytest

from memory_model import (HEAP_BASE, HEAP_MAX, LOW_MEMORY, PAGE, address_of, frames_elsewhere,
                          heap_listing, meminfo, read_boot)
from page_walk import mappings

KERNEL = 0x100000
quick, full = pytest.mark.quick, pytest.mark.full


def assert_identities(figures):
    """What holds between the figures of `meminfo` at any moment, as they are printed."""
    assert figures["MemUsed"] == figures["MemTotal"] - figures["MemFree"]
    assert figures["HeapFree"] == figures["HeapTotal"] - figures["HeapUsed"]
    assert figures["HeapBlocks"] == figures["HeapAllocs"] - figures["HeapFrees"]
    assert figures["HeapUsed"] <= figures["HeapPeak"]
    assert figures["HeapLargestFree"] <= figures["HeapTotal"]
    assert figures["PageTables"] + figures["HeapTotal"] <= figures["MemUsed"]


def assert_translates(machine, virtual, physical):
    assert machine.one_line(f"translate {virtual:x}").startswith(
        f"0x{virtual:08x} -> " + ("not mapped" if physical is None else f"0x{physical:08x} "))


# ---- Sizes of RAM ------------------------------------------------------------------------------

# Both sides of what a program may get wrong: the smallest, the ISA hole, one page table, the
# heap's window at 384 MiB, the PMM's limit at 512 MiB, and 32 bits.
SIZES = [("4M", quick), ("5M", full), ("8M", full), ("15M", full), ("16M", full), ("17M", full),
         ("64M", full), ("256M", full), ("383M", full), ("384M", full), ("385M", quick),
         ("511M", full), ("512M", full), ("513M", quick), ("1G", full), ("3584M", full),
         ("4095M", full), ("4096M", full), ("5G", quick), ("8G", full)]


@pytest.mark.parametrize("chipset", ["pc", pytest.param("q35", marks=full)])
@pytest.mark.parametrize("size", [pytest.param(size, marks=mark) for size, mark in SIZES])
def test_ram(start, size, chipset):
    machine = start(memory=size, machine=chipset)
    report = read_boot(machine.prompt())
    frames = report.usable_frames()

    assert report.managed == sum(frames) * PAGE // 1024
    assert report.free + report.reserved == report.managed
    assert report.reserved * 1024 >= sum(frames[:LOW_MEMORY // PAGE]) * PAGE
    assert report.left_out == report.expected_left_out() // 1024
    assert report.identity == (PAGE, report.expected_identity_end())

    end = report.identity[1]
    figures = meminfo(machine)
    assert figures["MemTotal"] == report.managed
    assert_identities(figures)
    assert_translates(machine, 0, None)
    assert_translates(machine, KERNEL, KERNEL)
    assert_translates(machine, end - PAGE, end - PAGE)
    if end < HEAP_BASE:
        assert_translates(machine, end, None)
    assert machine.command("heap_test")[-1] == "heap_test: PASS"


@full
def test_the_smallest_machine_works_or_says_what_is_missing(start):
    """GRUB needs 3.5 MiB to load the kernel, and with less never reaches it."""
    machine = start(memory="3584K")
    match = machine.wait_for(re.compile(rb"\nronin> |\nPANIC: too little memory"))
    if b"ronin" in match[0]:
        assert machine.command("heap_test")[-1] == "heap_test: PASS"


@quick
def test_high_frames_serve_the_heap_and_low_ones_the_laboratory(boot):
    """Above HEAP_BASE RAM is used first for what has a mapping of its own, and never by address."""
    machine = boot(memory="513M")
    heap = mappings(machine, HEAP_BASE, HEAP_BASE + HEAP_MAX)
    assert len(heap) >= 4
    assert all(physical >= HEAP_BASE for _, physical, _ in heap)
    frame = address_of(machine.one_line("frame alloc"))
    assert 0 < frame < HEAP_BASE
    assert_translates(machine, frame, frame)


# ---- The address space -------------------------------------------------------------------------

@quick
@pytest.mark.parametrize("size", ["128M", pytest.param("1G", marks=full)])
def test_the_page_tables_are_the_specified_ones(start, size):
    """Read from outside: the identity range without page 0, and the heap's first pages."""
    machine = start(memory=size)
    end = read_boot(machine.prompt()).identity[1]
    identity = mappings(machine, 0, HEAP_BASE)
    assert all(virtual == physical for virtual, physical, _ in identity)
    mapped = {virtual for virtual, *_ in identity}
    assert mapped <= set(range(PAGE, end, PAGE))
    assert end // PAGE - 1 - len(mapped) <= 4, "more than a few guard pages are missing"

    writable = {virtual for virtual, _, writable in identity if writable}
    assert KERNEL not in writable, "the kernel's text can be written"
    assert len(writable) > len(mapped) * 9 // 10
    heap = [virtual for virtual, *_ in mappings(machine, HEAP_BASE, HEAP_BASE + HEAP_MAX)]
    assert heap[:4] == [HEAP_BASE + i * PAGE for i in range(4)]
    assert heap == list(range(HEAP_BASE, HEAP_BASE + len(heap) * PAGE, PAGE))


@quick
def test_no_frame_has_two_owners(boot):
    """What has a mapping of its own lies in RAM, outside low memory, and nowhere twice."""
    machine = boot(memory="16M")
    machine.command("kmalloc 3000000")
    own = [physical for _, physical, _ in mappings(machine, HEAP_BASE, 0x40000000)]
    assert len(own) > 3000000 // PAGE
    assert len(set(own)) == len(own)
    assert LOW_MEMORY <= min(own) and max(own) < 16 << 20


# ---- Figures -----------------------------------------------------------------------------------

@quick
def test_meminfo_adds_up(machine):
    assert_identities(meminfo(machine))


@quick
def test_meminfo_is_the_sum_of_the_listed_blocks(machine):
    figures = meminfo(machine)
    model, top = heap_listing(machine)
    used = [size for _, size, is_used in model.blocks if is_used]
    free = [size for _, size, is_used in model.blocks if not is_used]
    assert len(used) == figures["HeapBlocks"]
    assert abs(sum(used) / 1024 - figures["HeapUsed"]) < 1
    assert abs(max([top, *free]) / 1024 - figures["HeapLargestFree"]) < 1
    end = model.top - 4 + top - HEAP_BASE
    assert -end % PAGE < 8, "the wilderness ends with a page, but for what is no whole block"
    assert end <= figures["HeapTotal"] * 1024


@quick
@pytest.mark.parametrize("line", [
    "help", "threads", "heap", "modules", "memmap", "translate 100000", "peek 100000 1024",
    "dmesg", "cpu", "irq", "keymap", "echo " + "x" * 900, "no-such-command", "crash"])
def test_reading_changes_no_figure(machine, line):
    before = machine.command("meminfo")
    machine.command(line)
    assert machine.command("meminfo") == before


@quick
def test_heap_test_passes_and_gives_everything_back(machine):
    before, blocks = meminfo(machine), heap_listing(machine)[0]
    for _ in range(2):
        assert machine.command("heap_test", timeout=120)[-1] == "heap_test: PASS"
    after = meminfo(machine)
    assert_identities(after)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    assert heap_listing(machine)[0] == blocks
    assert frames_elsewhere(after) <= frames_elsewhere(before)
