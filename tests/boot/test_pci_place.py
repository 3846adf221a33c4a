"""BARs above 4 GiB and BARs without address: mapped in place, moved, or left alone.

The kernel's test "pci: an xHCI's capability registers are seen through its BAR" reads the registers,
whoever has mapped them first.
"""
import re

import pytest

import images
from test_pci import XHCI, find, listed

MOVED = re.compile(r"PCI: ([0-9a-f]{2}):([0-9a-f]{2})\.([0-7]): BAR0 moved from 0x([0-9a-f]+) "
                   r"to 0x([0-9a-f]+)")
REGISTERS = "pci: an xHCI's capability registers are seen through its BAR"
OVMF_HIGH = 0xe000000000
PLACES_END = 0xfec00000
PAGE = 0x1000

WAITING = "set timeout=-1\nmenuentry test {\n multiboot2 /boot/roninos.elf\n}\n"
BRIDGE = ["-device", "pci-bridge,id=bridge,chassis_nr=1,addr=5"]
BRIDGE_WITHOUT_WINDOW = ["-device", "pci-bridge,id=bridge,chassis_nr=1,addr=5,shpc=off"]


def xhci_bar(machine):
    """The place of the xHCI's BAR 0 as QEMU has it."""
    functions = listed(machine.command("pci"))
    kind, address, *rest = functions[find(functions, XHCI)]["bars"][0]
    assert kind == "memory" and rest == [0x4000, True, False]
    return address


def messages(boot):
    """What was said of BARs, at the boot and by the self-test, and how the latter went."""
    return [line for line in boot if ": BAR" in line]


def others(machine):
    """The ranges that the listing shows to be taken: all but the xHCI and its bridge's window."""
    ranges = []
    functions = listed(machine.command("pci"))
    for place, function in functions.items():
        if function["id"] != XHCI:
            ranges += [(bar[1], bar[1] + bar[2]) for bar in function["bars"].values()
                       if bar[0] == "memory"]
    return ranges


def memory_map(boot):
    """All entries of the memory map that the boot printed, as (start, end, available)."""
    lines = [re.fullmatch(r"  0x([0-9a-f]{16}) - 0x([0-9a-f]{16})  (.+)", line) for line in boot]
    return [(int(line[1], 16), int(line[2], 16) + 1, line[3] == "available")
            for line in lines if line]


def assert_safe(machine, boot, address):
    regions = memory_map(boot)
    assert regions
    assert address % 0x4000 == 0
    assert address >= max(end for start, end, available in regions if available and start < 1 << 32)
    assert address + 0x4000 <= PLACES_END
    for start, end in [region[:2] for region in regions] + others(machine):
        assert address + 0x4000 <= start or end <= address


@pytest.mark.parametrize("cpu, moves", [
    pytest.param("max", False, id="pse36", marks=pytest.mark.full),
    pytest.param("qemu64,-pse36", True, id="no-pse36", marks=pytest.mark.quick),
])
def test_bar_above_4_gib(start, cpu, moves):
    machine = start(firmware="uefi", cpu=cpu, extra=["-device", "qemu-xhci"])
    boot = machine.prompt()
    tests = machine.command("selftest")
    assert f"PASS {REGISTERS}" in tests and tests[-1].endswith(" 0 failed")

    address = xhci_bar(machine)
    moved = [MOVED.fullmatch(line) for line in messages(boot + tests)]
    if moves:
        assert [(int(move[4], 16), int(move[5], 16)) for move in moved] == [(OVMF_HIGH, address)]
        assert_safe(machine, boot, address)
    else:
        assert address == OVMF_HIGH and moved == []


def start_with_plugged(start, bus, extra):
    """A machine into which an xHCI is plugged when firmware has given out all addresses."""
    machine = start(images.make_image_of(WAITING, {}), machine="pc", extra=extra)
    machine.wait_screen("GNU GRUB")
    machine.qmp("device_add", driver="qemu-xhci", id="late", bus=bus, addr="7")
    machine.press("ret")
    return machine, machine.prompt()


@pytest.mark.full
def test_bar_without_address(start):
    machine, boot = start_with_plugged(start, "pci.0", [])
    tests = machine.command("selftest")
    assert f"PASS {REGISTERS}" in tests and tests[-1].endswith(" 0 failed")
    address = xhci_bar(machine)
    assert [MOVED.fullmatch(line).groups() for line in messages(boot + tests)] == [
        ("00", "07", "0", "0", f"{address:x}")]
    assert_safe(machine, boot, address)


@pytest.mark.quick
def test_bar_without_address_behind_a_bridge(start):
    machine, boot = start_with_plugged(start, "bridge", BRIDGE)
    tests = machine.command("selftest")
    assert f"PASS {REGISTERS}" in tests and tests[-1].endswith(" 0 failed")
    address = xhci_bar(machine)
    first, last = listed(machine.command("pci"))[0, 5, 0]["windows"]["memory"]
    assert first <= address and address + 0x4000 <= last + 1
    assert_safe(machine, boot, address)


@pytest.mark.full
def test_bar_behind_a_bridge_without_window_is_left_alone(start):
    machine, boot = start_with_plugged(start, "bridge", BRIDGE_WITHOUT_WINDOW)
    before = machine.qmp("query-pci")
    tests = machine.command("selftest")
    assert f"FAIL {REGISTERS}: registers != NULL" in tests
    assert messages(boot + tests)[-1] == \
        "PCI: 01:07.0: BAR0 has no address, and is left alone: no gap is large enough"
    assert machine.qmp("query-pci") == before
