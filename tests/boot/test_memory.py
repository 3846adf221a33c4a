"""RAM of every size, and that the three steps PMM, paging and heap treat it as specified."""
import re
import time

import pytest

import images
from memory_model import (HEAP_BASE, HEAP_MAX, LOW_MEMORY, PAGE, SHADOW, address_of,
                          frames_elsewhere, heap_chunks, heap_listing, kfree, kmalloc, meminfo, read_boot)
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
SIZES = [(images.SMALLEST, quick), ("6M", full), ("8M", full), ("15M", full), ("16M", full), ("17M", full),
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
    """GRUB needs nearly 4 MiB to load the kernel that people get, and with less never reaches it."""
    if images.ORDINARY:
        assert images.least_ram() <= 4096
    machine = start(memory=f"{images.least_ram()}K")
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


def assert_meminfo_is_the_sum_of_the_listed_blocks(machine):
    """A chunk is one used block; its objects count one by one, and the rest of it is free."""
    figures = meminfo(machine)
    model, top = heap_listing(machine)
    chunks, objects, idle = heap_chunks(machine)
    used = [size for _, size, is_used in model.blocks if is_used]
    free = [size for _, size, is_used in model.blocks if not is_used]
    assert len(used) - chunks + objects == figures["HeapBlocks"]
    assert abs((sum(used) - idle) / 1024 - figures["HeapUsed"]) < 1
    assert abs(max([top, *free]) / 1024 - figures["HeapLargestFree"]) < 1
    end = model.top - 4 + top - HEAP_BASE
    assert -end % PAGE < 8, "the wilderness ends with a page, but for what is no whole block"
    assert end < figures["HeapTotal"] * 1024, "the heap's index is part of the total"


@quick
def test_meminfo_is_the_sum_of_the_listed_blocks(machine):
    assert_meminfo_is_the_sum_of_the_listed_blocks(machine)


@quick
def test_meminfo_counts_small_objects_one_by_one(machine):
    ballast = kmalloc(machine, 2000000)
    before = meminfo(machine)
    objects = [kmalloc(machine, size) for size in range(20, 200)]
    assert heap_chunks(machine)[1] >= len(objects)
    assert_meminfo_is_the_sum_of_the_listed_blocks(machine)
    assert meminfo(machine)["HeapBlocks"] == before["HeapBlocks"] + len(objects)
    for address in objects[::2]:
        kfree(machine, address)
    assert_meminfo_is_the_sum_of_the_listed_blocks(machine)
    for address in objects[1::2]:
        kfree(machine, address)
    after = meminfo(machine)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    kfree(machine, ballast)


@quick
def test_the_heap_grows_by_frames_and_gives_them_back(machine):
    """What the heap has more, index and page tables included, the free frames have less."""
    size = 3000000
    before = meminfo(machine)
    block = kmalloc(machine, size)
    grown = meminfo(machine)
    growth = grown["HeapTotal"] - before["HeapTotal"]
    assert size / 1024 - before["HeapLargestFree"] - 1 <= growth
    assert growth <= size * (1.02 + SHADOW) / 1024 + 8
    assert frames_elsewhere(grown) <= frames_elsewhere(before)
    kfree(machine, block)
    after = meminfo(machine)
    assert after["HeapTotal"] <= before["HeapTotal"] + 64
    assert frames_elsewhere(after) == frames_elsewhere(grown)


@quick
@pytest.mark.parametrize("line", [
    "help", "threads", "heap", "modules", "memmap", "translate 100000", "peek 100000 1024",
    "dmesg", "cpu", "irq", "keymap", "echo " + "x" * 900, "no-such-command", "crash"])
def test_reading_changes_no_figure(machine, line):
    before = machine.command("meminfo")
    machine.command(line)
    assert machine.command("meminfo") == before


def used_blocks(machine):
    return {block for block in heap_listing(machine)[0].blocks if block[2]}


@quick
def test_heap_test_passes_and_gives_everything_back(machine):
    """All but spare chunks, of which each size of objects may keep one."""
    before, blocks = meminfo(machine), used_blocks(machine)
    live = len(blocks) - heap_chunks(machine)[0]
    for _ in range(2):
        assert machine.command("heap_test", timeout=120)[-1] == "heap_test: PASS"
    after = meminfo(machine)
    assert_identities(after)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    assert len(used_blocks(machine) & blocks) >= live
    assert frames_elsewhere(after) <= frames_elsewhere(before)


@full
def test_a_million_operations_under_preemption(boot):
    """With small objects, and with first fit alone, which then gives back all of it."""
    for words in ("", "small=off"):
        machine = boot(images.make_image(words))
        before, blocks = meminfo(machine), used_blocks(machine)
        assert machine.command("heap_test 1000000", timeout=300)[-1] == "heap_test: PASS"
        after = meminfo(machine)
        done = sum(after[key] - before[key] for key in ("HeapAllocs", "HeapFrees"))
        assert done > 1000000 * 3 // 4, "a krealloc in place is no allocation, all others are"
        assert after["HeapBlocks"] == before["HeapBlocks"]
        assert blocks == used_blocks(machine) or words == ""
        machine.close()


@quick
def test_heap_test_is_stopped_and_gives_everything_back(machine):
    before = meminfo(machine)
    machine.send("heap_test 1000000000\r")
    machine.wait_for("heap_test 1000000000\r\n")
    time.sleep(1)                           # until its threads are at work
    machine.send("\x03")
    machine.prompt()
    after = meminfo(machine)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    assert not any(
        "heap_test" in line for line in machine.command("threads"))


@pytest.mark.parametrize("memory, cpu, words", [
    pytest.param(images.SMALLEST, None, "", marks=quick),
    pytest.param("600M", None, "", marks=full),
    pytest.param("16M", "486", "small=off", marks=quick),
    pytest.param("16M", "486", "", marks=full),
    pytest.param(images.SMALLEST, None, "small=off", marks=full),
    pytest.param("600M", None, "small=off", marks=full)])
def test_selftest_on_little_and_much_memory(boot, memory, cpu, words):
    machine = boot(images.make_image(words), memory=memory, cpu=cpu)
    assert machine.command("selftest", timeout=300)[-1].endswith(" 0 failed")
