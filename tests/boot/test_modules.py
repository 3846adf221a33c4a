"""Multiboot2 modules: where they lie, and that nothing of the kernel ever touches them."""
import re
import zlib

import pytest

import images
from memory_model import (HEAP_BASE, LOW_MEMORY, PAGE, frames_elsewhere, heap_listing, kfree,
                          kmalloc, meminfo, modules)
from page_walk import mappings

MIB = 1 << 20
SIZES = [0, 1, PAGE - 1, PAGE, MIB]


def contents_of(sizes):
    return {f"module{i}": (f"number {i} 'of' {size}", images.noise(size))
            for i, size in enumerate(sizes)}


def assert_intact(machine, contents):
    """The modules lie apart, and each has its length, its words, and every byte."""
    listed = modules(machine)
    assert len(listed) == len(contents)
    for module, (words, data) in zip(listed, contents.values()):
        assert module.end - module.start == len(data)
        assert module.start % PAGE == 0 and module.crc == zlib.crc32(data)
        assert module.words.split() == words.replace("'", "").split()
    ranges = sorted((module.start, module.end) for module in listed if module.end)
    assert all(end <= start for (_, end), (start, _) in zip(ranges, ranges[1:]))
    return listed


def take_all_memory(machine, model):
    """Allocates until nothing is left, from large blocks down to pages; returns the addresses."""
    taken = []
    for size in (32 * MIB, 4 * MIB, MIB // 2, 64 << 10, PAGE - 4):
        while address := kmalloc(machine, size):
            assert address == model.kmalloc(size)
            taken.append(address)
    return taken


def boot_with(start, sizes, **options):
    contents = contents_of(sizes)
    machine = start(images.make_image("", contents), **options)
    machine.prompt()
    return machine, contents


@pytest.mark.quick
def test_no_modules(machine):
    assert machine.command("modules") == []


@pytest.mark.quick
def test_listing_modules_changes_nothing(start):
    machine, contents = boot_with(start, SIZES, memory="16M")
    before = machine.command("meminfo")
    assert_intact(machine, contents)
    assert machine.command("meminfo") == before


@pytest.mark.parametrize("sizes, memory", [
    pytest.param(SIZES, "16M", marks=pytest.mark.quick),
    pytest.param([*SIZES, 64 * MIB], "128M", marks=pytest.mark.full),
    pytest.param([300 * MIB, *SIZES], "640M", marks=pytest.mark.full),
], ids=["16M", "128M", "640M"])
def test_modules_survive_a_heap_that_takes_all_memory(start, sizes, memory):
    machine, contents = boot_with(start, sizes, memory=memory, machine="q35")
    listed = assert_intact(machine, contents)
    before, (model, _) = meminfo(machine), heap_listing(machine)

    taken = take_all_memory(machine, model)
    full = meminfo(machine)
    assert full["MemFree"] <= 2 * PAGE // 1024
    assert frames_elsewhere(full) <= frames_elsewhere(before)
    assert_no_mapping_of(machine, listed)
    for address in taken:
        assert machine.one_line(f"poke {address:x} {address:x}") == "ok"
    assert_intact(machine, contents)

    for address in taken:
        kfree(machine, address)
        model.kfree(address)
    after = meminfo(machine)
    assert (after["HeapUsed"], after["HeapBlocks"]) == (before["HeapUsed"], before["HeapBlocks"])
    assert frames_elsewhere(after) <= frames_elsewhere(before)
    assert after["MemFree"] > before["MemFree"] * 9 // 10
    assert heap_listing(machine)[0] == model
    assert_intact(machine, contents)


def assert_no_mapping_of(machine, listed):
    """No page of heap or stacks lies on a module, or twice on one frame."""
    own = [physical for _, physical, _ in mappings(machine, HEAP_BASE, 0x40000000)]
    occupied = {frame for module in listed for frame in range(module.start, module.end, PAGE)}
    assert len(set(own)) == len(own)
    assert not occupied.intersection(own)
    assert min(own) >= LOW_MEMORY


@pytest.mark.full
def test_a_module_across_all_low_memory(start):
    """It leaves only frames above HEAP_BASE. Those do, or the kernel says they do not."""
    contents = contents_of([450 * MIB])
    machine = start(images.make_image("", contents), memory="1G", machine="q35")
    match = machine.wait_for(re.compile(rb"\nronin> |\nPANIC: too little memory"), timeout=300)
    if b"ronin" in match[0]:
        assert assert_intact(machine, contents)[0].end > HEAP_BASE


@pytest.mark.full
def test_a_missing_module_is_not_listed(start):
    """GRUB reports it and goes on after a key."""
    contents = contents_of([PAGE])
    config = images.config_of("", contents).replace("/boot/module0", "/boot/nothing")
    machine = start(images.make_image_of(config, contents))
    machine.wait_screen("Press any key")
    machine.press("ret")
    machine.prompt()
    assert machine.command("modules") == []
