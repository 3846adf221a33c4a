"""The memory laboratory: frames, mappings and heap blocks, by hand."""
import random
import re

import pytest

import images
from memory_model import (HEAP_BASE, LOW_MEMORY, PAGE, SMALL_MAX, address_of, block_size,
                          heap_chunks, heap_listing, kfree, kmalloc, meminfo, peek)

pytestmark = pytest.mark.quick

FREE_VIRTUAL = 0xa0000000       # layout.md gives it to nobody
LARGE = PAGE                    # no small object, whatever the heap is like
REFUSAL = re.compile("(usage|error): .+")


def frame_alloc(machine):
    return address_of(machine.one_line("frame alloc"))


def ok(machine, line):
    assert machine.one_line(line) == "ok"


def assert_refused(machine, line):
    """One line says why, and no figure changes."""
    before = machine.command("meminfo")
    assert REFUSAL.fullmatch(machine.one_line(line))
    assert machine.command("meminfo") == before


# ---- Frames ------------------------------------------------------------------------------------

def test_frames_are_taken_and_given_back(machine):
    before = meminfo(machine)
    frames = [frame_alloc(machine) for _ in range(8)]
    assert len(set(frames)) == 8
    for frame in frames:
        assert frame % PAGE == 0 and LOW_MEMORY <= frame < before["MemTotal"] * 1024 + LOW_MEMORY
    assert meminfo(machine)["MemFree"] == before["MemFree"] - 8 * PAGE // 1024

    for frame in frames:
        ok(machine, f"frame free {frame:x}")
    assert meminfo(machine) == before


def test_a_frame_is_freed_once(machine):
    frame = frame_alloc(machine)
    ok(machine, f"frame free {frame:#x}")
    assert_refused(machine, f"frame free {frame:#x}")


def test_a_frame_belongs_to_no_block_of_the_heap(machine):
    """What the identity mapping shows of a new frame is not what the heap holds there."""
    block = kmalloc(machine, 3 * PAGE)
    frame = frame_alloc(machine)
    ok(machine, f"poke {block + PAGE:x} 11111111")
    ok(machine, f"poke {frame:x} 22222222")
    assert peek(machine, block + PAGE) == [0x11111111]
    ok(machine, f"frame free {frame:x}")
    kfree(machine, block)


def test_the_last_page_of_all_may_be_mapped(machine):
    before = meminfo(machine)
    mapped = frame_alloc(machine)
    ok(machine, f"map fffff000 {mapped:x}")
    frame = frame_alloc(machine)
    ok(machine, f"frame free {frame:x}")
    ok(machine, "poke fffffffc cafef00d")
    assert peek(machine, 0xfffffffc) == [0xcafef00d]
    assert_refused(machine, "peek fffffffc 2")
    ok(machine, "unmap fffff000")
    ok(machine, f"frame free {mapped:x}")
    assert meminfo(machine) == before


# ---- Mappings ----------------------------------------------------------------------------------

def test_a_mapped_frame_is_seen_at_both_addresses(machine):
    frame = frame_alloc(machine)
    ok(machine, f"map {FREE_VIRTUAL:x} {frame:x}")
    line = machine.one_line(f"translate {FREE_VIRTUAL + 0x123:x}")
    assert line.startswith(f"0x{FREE_VIRTUAL + 0x123:08x} -> 0x{frame + 0x123:08x} ")

    ok(machine, f"poke {FREE_VIRTUAL + 8:x} cafef00d")
    assert peek(machine, frame + 8) == [0xcafef00d]
    ok(machine, f"poke {frame + PAGE - 4:x} 0x00000001")
    assert peek(machine, FREE_VIRTUAL, PAGE // 4)[-1] == 1

    ok(machine, f"unmap {FREE_VIRTUAL:x}")
    assert machine.one_line(f"translate {FREE_VIRTUAL:x}") == f"0x{FREE_VIRTUAL:08x} -> not mapped"
    assert_refused(machine, f"peek {FREE_VIRTUAL:x}")
    ok(machine, f"frame free {frame:x}")


def test_remapping_shows_the_new_frame_at_once(machine):
    """A translation that the CPU remembers from before would show the old one."""
    frames = [frame_alloc(machine) for _ in range(2)]
    for i, frame in enumerate(frames):
        ok(machine, f"poke {frame:x} {i + 1}")
    for i, frame in enumerate(frames):
        ok(machine, f"map {FREE_VIRTUAL:x} {frame:x}")
        assert peek(machine, FREE_VIRTUAL) == [i + 1]
        ok(machine, f"unmap {FREE_VIRTUAL:x}")
    for frame in frames:
        ok(machine, f"frame free {frame:x}")


def test_a_read_only_page_is_read_only(machine):
    frame = frame_alloc(machine)
    ok(machine, f"poke {frame:x} 7")
    ok(machine, f"map {FREE_VIRTUAL:x} {frame:x} ro")
    assert_refused(machine, f"poke {FREE_VIRTUAL:x} 8")
    assert peek(machine, FREE_VIRTUAL) == [7]
    ok(machine, f"unmap {FREE_VIRTUAL:x}")
    ok(machine, f"frame free {frame:x}")


def test_what_is_mapped_is_not_mapped_again(machine):
    frame = frame_alloc(machine)
    ok(machine, f"map {FREE_VIRTUAL:x} {frame:x}")
    assert_refused(machine, f"map {FREE_VIRTUAL:x} {frame:x}")
    ok(machine, f"unmap {FREE_VIRTUAL:x}")
    assert_refused(machine, f"unmap {FREE_VIRTUAL:x}")
    ok(machine, f"frame free {frame:x}")


def test_mapping_gives_back_what_it_took(machine):
    """But for a page table, which may stay."""
    before = meminfo(machine)
    for i in range(4):
        ok(machine, f"map {FREE_VIRTUAL + i * PAGE:x} b8000 ro")
    for i in range(4):
        ok(machine, f"unmap {FREE_VIRTUAL + i * PAGE:x}")
    assert meminfo(machine)["MemFree"] >= before["MemFree"] - PAGE // 1024


WINDOWS = [0, 0x1000, 0x100000, 0x7fdf000, 0x18000000, 0x37fff000, 0x38000000, 0x39000000,
           0x3ffff000, 0x40000000, 0x7ffff000, 0x80000000, 0x9ffff000]


@pytest.mark.parametrize("virtual", WINDOWS, ids=hex)
def test_the_kernels_windows_are_not_mapped_or_unmapped(machine, virtual):
    assert_refused(machine, f"map {virtual:x} b8000 ro")
    assert_refused(machine, f"unmap {virtual:x}")


def test_peek_is_bounded_by_what_is_mapped(machine):
    frame = frame_alloc(machine)
    ok(machine, f"map {FREE_VIRTUAL:x} {frame:x}")
    assert len(peek(machine, FREE_VIRTUAL, 1024)) == 1024
    assert_refused(machine, f"peek {FREE_VIRTUAL + 4:x} 1024")
    assert_refused(machine, f"peek {FREE_VIRTUAL + PAGE - 2:x}")
    assert_refused(machine, f"peek {FREE_VIRTUAL - 4:x} 2")
    assert_refused(machine, f"poke {FREE_VIRTUAL + PAGE - 2:x} 0")
    ok(machine, f"unmap {FREE_VIRTUAL:x}")
    ok(machine, f"frame free {frame:x}")


# ---- Arguments ---------------------------------------------------------------------------------

@pytest.mark.parametrize("line", [
    "frame", "frame alloc 1", "frame free", "frame free x", "frame free 0", "frame free 100000",
    "frame free 00000001", "frame free 123456789", "frame free ffffffff", "frame take",
    "map", "map a0000000", "map a0000000 b8000 rw", "map a0000001 b8000", "map a0000000 b8001",
    "map 1a0000000 b8000", "map a0000000 100000", "map zz b8000", "map a0000000 b8000 ro ro",
    "unmap", "unmap a0000000", "unmap a0000001", "unmap 0x", "unmap a0000000 b8000",
    "translate", "translate q", "translate 1 2", "translate 100000000",
    "kmalloc", "kmalloc x", "kmalloc -1", "kmalloc 0x10", "kmalloc 1 2", "kmalloc 1.5",
    "kfree", "kfree 0", "kfree 18000000", "kfree 18000009", "kfree ffffffff", "kfree 100000",
    "kfree g", "kfree 20000000", "kfree 37fffff8", "kfree 118000008",
    "peek", "peek 0", "peek 100000 0", "peek 100000 1025", "peek 100000 -1", "peek 100000 x",
    "peek ffffffff", "peek fffffffd 1", "peek 100000 4294967297", "peek 80000000",
    "poke", "poke 0 0", "poke 100000", "poke 100000 0", "poke 80000000 0", "poke a0000000 0",
    "poke b8000 100000000", "poke b8000 x", "poke ffffffff 0", "poke b8000 0 0",
    "meminfo x", "heap x", "modules x", "memmap x", "heap_test x", "heap_test 0",
    "heap_test 1000000001", "heap_test 1 2", "crash nothing",
    "crash null-read null-read", "no-such-command"])
def test_a_wrong_argument_changes_nothing(machine, line):
    assert_refused(machine, line)


# ---- Heap blocks -------------------------------------------------------------------------------

@pytest.mark.parametrize("size", ["0", "536870912", "536870908", "4294967291", "4294967292",
                                  "4294967295", "4294967296", "99999999999999999999"])
def test_a_size_that_cannot_be_had_gives_0(machine, size):
    machine.command("kmalloc 536870900")    # before it gives 0 the heap gives up spare chunks
    before, blocks = meminfo(machine), machine.command("heap")
    assert machine.one_line(f"kmalloc {size}") == "0"
    assert meminfo(machine)["MemFree"] == before["MemFree"]
    assert machine.command("heap") == blocks


def follow_the_model(machine, seed, smallest):
    """Random requests and frees, each address foretold; sizes on both sides of every rounding."""
    before, (model, _) = meminfo(machine), heap_listing(machine)
    chance, live = random.Random(seed), []
    for _ in range(60):
        if live and chance.random() < 0.45:
            address = live.pop(chance.randrange(len(live)))
            kfree(machine, address)
            model.kfree(address)
        else:
            size = smallest + chance.choice([chance.randrange(16), chance.randrange(300),
                                             chance.randrange(60000)])
            live.append(kmalloc(machine, size))
            assert live[-1] == model.kmalloc(size)
    assert heap_listing(machine)[0] == model

    for address in live:
        kfree(machine, address)
        model.kfree(address)
    assert heap_listing(machine)[0] == model
    after = meminfo(machine)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])


@pytest.mark.parametrize("seed", range(3))
def test_blocks_lie_where_first_fit_puts_them(machine, seed):
    follow_the_model(machine, seed, SMALL_MAX + 1)


def test_without_small_objects_all_lies_where_first_fit_puts_it(boot):
    machine = boot(images.make_image("small=off"))
    assert not any("unknown word" in line for line in machine.command("dmesg"))
    ballast = kmalloc(machine, 2000000)
    follow_the_model(machine, 7, 1)
    assert heap_chunks(machine) == (0, 0, 0)
    kfree(machine, ballast)


def test_in_a_small_heap_small_requests_are_blocks(boot):
    """A chunk for a few objects would cost more than it saves."""
    machine = boot()
    model, _ = heap_listing(machine)
    for size in [1, 8, 12, 13, 20, 100, 255, 256] * 3:
        assert kmalloc(machine, size) == model.kmalloc(size)
    assert heap_listing(machine)[0] == model
    assert heap_chunks(machine) == (0, 0, 0)


# ---- Small objects -----------------------------------------------------------------------------

def assert_not_live(machine, address):
    assert machine.one_line(f"kfree {address:x}") == f"error: 0x{address:08x} is not a live block"


def block_around(machine, address):
    """The used block that holds an address."""
    [block] = [block for block in heap_listing(machine)[0].blocks
               if block[0] <= address < block[0] + block[1] - 4]
    assert block[2]
    return block


@pytest.mark.parametrize("size", [16, 40, SMALL_MAX])
def test_in_a_large_heap_small_requests_share_chunks(machine, size):
    ballast = kmalloc(machine, 2000000)
    before = meminfo(machine)
    objects = [kmalloc(machine, size) for _ in range(100)]
    assert all(address % 8 == 0 for address in objects)
    assert all(there - here >= size for here, there in zip(sorted(objects), sorted(objects)[1:]))
    chunks = {block_around(machine, address) for address in objects}
    assert len(chunks) < len(objects) / 3
    assert not chunks & {block_around(machine, ballast)}

    for address in objects:
        kfree(machine, address)
    after = meminfo(machine)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    kfree(machine, ballast)


def test_only_an_object_itself_is_freed_and_once(machine):
    """Not its middle, not its chunk, and nothing that was an object."""
    ballast = kmalloc(machine, 2000000)
    objects = [kmalloc(machine, 40) for _ in range(3)]
    chunk = block_around(machine, objects[1])[0]
    assert chunk not in objects
    for address in (objects[1] + 1, objects[1] + 8, objects[1] + 32, objects[1] - 4, chunk,
                    chunk + 8, chunk - 4, chunk + block_around(machine, objects[1])[1] - 8):
        assert_not_live(machine, address)
    for address in objects:
        ok(machine, f"poke {address + 36:x} {address:x}")
        assert peek(machine, address + 36) == [address]
        kfree(machine, address)
        assert_not_live(machine, address)
    kfree(machine, ballast)


def test_every_other_object_between_blocks(machine):
    """Objects go where others were, and blocks go where first fit says, each for itself."""
    ballast = kmalloc(machine, 2000000)
    objects = [kmalloc(machine, 24) for _ in range(40)]
    for address in objects[::2]:
        kfree(machine, address)
    model, _ = heap_listing(machine)
    again = [kmalloc(machine, 17 + i % 8) for i in range(20)]
    assert sorted(again) == sorted(objects[::2])
    assert heap_listing(machine)[0] == model, "no block came or went for them"
    block = kmalloc(machine, SMALL_MAX + 1)
    assert block == model.kmalloc(SMALL_MAX + 1)
    for address in [*again, *objects[1::2], block, ballast]:
        kfree(machine, address)


# ---- What holds for either ---------------------------------------------------------------------

def test_neighbours_merge_whatever_is_freed_first(machine):
    """Three freed blocks in a row serve one request of their joint size, at the first's place."""
    for order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        blocks = [kmalloc(machine, LARGE) for _ in range(4)]
        for i in order:
            kfree(machine, blocks[i])
        joint = kmalloc(machine, 3 * block_size(LARGE) - 4)
        assert joint == blocks[0]
        kfree(machine, joint)
        kfree(machine, blocks[3])


def test_blocks_keep_apart(machine):
    """Of any size: aligned to 8, in the window, disjoint; and words written at both ends stay."""
    sizes = [1, 3, 4, 8, 12, 13, 16, 24, 100, 255, 1000, 2048, 4092, 4093, 70000]
    before = meminfo(machine)
    blocks = {kmalloc(machine, size): size for size in sizes}
    assert len(blocks) == len(sizes) and 0 not in blocks
    end = HEAP_BASE
    for address, size in sorted(blocks.items()):
        assert address % 8 == 0 and address >= end
        end = address + size
    for address, size in blocks.items():
        for word in {address, address + size - 4} if size >= 4 else ():
            ok(machine, f"poke {word:x} {word:x}")
    for address, size in blocks.items():
        for word in {address, address + size - 4} if size >= 4 else ():
            assert peek(machine, word) == [word]

    assert meminfo(machine)["HeapBlocks"] == before["HeapBlocks"] + len(sizes)
    for address in blocks:
        kfree(machine, address)
    assert meminfo(machine)["HeapUsed"] == before["HeapUsed"]


def test_a_block_is_freed_once(machine):
    blocks = [kmalloc(machine, LARGE) for _ in range(3)]
    for address in blocks:
        assert_refused(machine, f"kfree {address + 8:x}")
    kfree(machine, blocks[1])
    assert_refused(machine, f"kfree {blocks[1]:x}")
    kfree(machine, blocks[2])
    assert_refused(machine, f"kfree {blocks[2]:x}")
    kfree(machine, blocks[0])
    assert_refused(machine, f"kfree {blocks[0]:x}")
