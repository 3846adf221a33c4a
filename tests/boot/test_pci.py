"""The PCI functions that the kernel finds are those that QEMU has, in every detail."""
import re

import pytest

EHCI_AND_UHCI = ["-device", "ich9-usb-ehci1,addr=1d.7,multifunction=on",
                 "-device", "ich9-usb-uhci1,addr=1d.0,multifunction=on"]
XHCI_BEHIND_BRIDGE = ["-device", "pci-bridge,id=b1,chassis_nr=1",
                      "-device", "qemu-xhci,bus=b1,addr=1"]
XHCI_BEHIND_ROOT_PORT = ["-device", "pcie-root-port,id=r1,chassis=1",
                         "-device", "qemu-xhci,bus=r1"]
BRIDGES_IN_A_ROW = ["-device", "pcie-root-port,id=r1,chassis=1",
                    "-device", "pcie-pci-bridge,id=b1,bus=r1",
                    "-device", "pci-bridge,id=b2,bus=b1,addr=1,chassis_nr=3",
                    "-device", "pci-ohci,bus=b2,addr=5",
                    "-device", "pcie-root-port,id=r2,chassis=2"]       # nothing behind it
BAR_ABOVE_4_GIB = ["-device", "pci-testdev,membar=8G"]
XHCI = (0x1b36, 0x000d)

FUNCTION = re.compile(r"([0-9a-f]{2}):([0-9a-f]{2})\.([0-7]) ([0-9a-f]{4}):([0-9a-f]{4}) "
                      r"(\S.*), class ([0-9a-f]{4})\.[0-9a-f]{2}")
BAR = re.compile(r"  BAR(\d): (I/O|memory) 0x([0-9a-f]{8,}), (\d+) bytes(, 64-bit)?"
                 r"(, prefetchable)?")
INTERRUPT = re.compile(r"  interrupt: line (\d+), pin ([A-D])")
BUSES = re.compile(r"  bridge: buses ([0-9a-f]{2}) - ([0-9a-f]{2})")
WINDOW = re.compile(r"  window: (I/O|memory|prefetchable) 0x([0-9a-f]{8,}) - 0x([0-9a-f]{8,})")


def listed(lines):
    """What `pci` printed: what is known of each function, by (bus, device, function)."""
    functions = {}
    for line in lines:
        if match := FUNCTION.fullmatch(line):
            place = tuple(int(number, 16) for number in match.groups()[:3])
            assert place not in functions
            function = functions[place] = {
                "id": (int(match[4], 16), int(match[5], 16)), "class": int(match[7], 16),
                "interrupt": None, "bars": {}, "buses": None, "windows": {}}
        elif match := BAR.fullmatch(line):
            function["bars"][int(match[1])] = (match[2], int(match[3], 16), int(match[4]),
                                               bool(match[5]), bool(match[6]))
        elif match := INTERRUPT.fullmatch(line):
            function["interrupt"] = (int(match[1]), "ABCD".index(match[2]) + 1)
        elif match := BUSES.fullmatch(line):
            function["buses"] = (int(match[1], 16), int(match[2], 16))
        elif match := WINDOW.fullmatch(line):
            function["windows"][match[1]] = (int(match[2], 16), int(match[3], 16))
        else:
            raise AssertionError(f"a line that `pci` should not print: {line!r}")
    return functions


def bars_of(device):
    """Without the ROM, which is number 6. Not decoding, a BAR would have the address -1."""
    kinds = {"io": "I/O", "memory": "memory"}
    return {region["bar"]: (kinds[region["type"]], region["address"], region["size"],
                            region.get("mem_type_64", False), region.get("prefetch", False))
            for region in device["regions"] if region["bar"] != 6}


def windows_of(bus):
    ranges = {"I/O": bus["io_range"], "memory": bus["memory_range"],
              "prefetchable": bus["prefetchable_range"]}
    return {kind: (window["base"], window["limit"]) for kind, window in ranges.items()
            if window["base"] <= window["limit"]}


def emulated(devices):
    """The same as QEMU tells it, with the devices behind bridges."""
    functions = {}
    for device in devices:
        bridge = device.get("pci_bridge")
        bus = bridge and bridge["bus"]
        functions[device["bus"], device["slot"], device["function"]] = {
            "id": (device["id"]["vendor"], device["id"]["device"]),
            "class": device["class_info"]["class"],
            "interrupt": (device["irq"], device["irq_pin"]) if device["irq_pin"] else None,
            "bars": bars_of(device),
            "buses": (bus["secondary"], bus["subordinate"]) if bus else None,
            "windows": windows_of(bus) if bus else {}}
        functions.update(emulated(bridge.get("devices", [])) if bridge else {})
    return functions


def find(functions, wanted):
    """Where the one function with that vendor and device is."""
    places = [place for place, function in functions.items() if function["id"] == wanted]
    assert len(places) == 1
    return places[0]


def plural(count, one, more):
    return f"{count} {one if count == 1 else more}"


@pytest.mark.quick
@pytest.mark.parametrize("chipset, extra", [
    pytest.param("pc", [], id="pc"),
    pytest.param("pc", XHCI_BEHIND_BRIDGE, id="pc-bridge"),
    pytest.param("q35", EHCI_AND_UHCI, id="q35-multifunction"),
    pytest.param("q35", XHCI_BEHIND_ROOT_PORT + BAR_ABOVE_4_GIB, id="q35-root-port-above-4g"),
    pytest.param("q35", BRIDGES_IN_A_ROW, id="q35-bridges-in-a-row"),
])
def test_listing_is_what_qemu_has(start, chipset, extra):
    machine = start(machine=chipset, extra=extra)
    boot = machine.prompt()
    functions = listed(machine.command("pci"))

    assert functions == emulated(machine.qmp("query-pci")[0]["devices"])
    buses = len({place[0] for place in functions})
    assert f"PCI: {plural(len(functions), 'function', 'functions')} on " \
           f"{plural(buses, 'bus', 'buses')}" in boot
    if extra in (XHCI_BEHIND_BRIDGE, XHCI_BEHIND_ROOT_PORT + BAR_ABOVE_4_GIB):
        assert find(functions, XHCI)[0] != 0
    if BAR_ABOVE_4_GIB[1] in extra:
        kind, address, *rest = functions[find(functions, (0x1b36, 0x0005))]["bars"][2]
        assert kind == "memory" and address >= 1 << 32 and rest == [8 << 30, True, True]


@pytest.mark.quick
def test_line_names_the_class(machine):
    names = {FUNCTION.fullmatch(line)[6] for line in machine.command("pci")
             if not line.startswith(" ")}
    assert names == {"host bridge", "ISA bridge", "IDE controller", "bridge", "VGA controller"}


@pytest.mark.quick
def test_listing_changes_no_figure_of_memory(machine):
    before = machine.command("meminfo")
    assert machine.command("pci")
    assert machine.command("pci 1") == ["usage: pci"]
    assert machine.command("meminfo") == before


@pytest.mark.quick
def test_a_machine_without_pci_says_so(start):
    machine = start(machine="isapc")
    assert "PCI: none (no answer at port 0xcf8)" in machine.prompt()
    assert machine.command("pci") == ["no PCI functions"]


@pytest.mark.quick
def test_more_functions_than_the_table_holds(start):
    """Eight functions in each of many slots; the last of them are only counted."""
    extra = []
    for slot in range(4, 21):
        for function in range(8):
            extra += ["-device", f"pci-testdev,addr={slot:x}.{function},multifunction=on"]
    machine = start(extra=extra)
    boot = machine.prompt()
    total = len(emulated(machine.qmp("query-pci")[0]["devices"]))
    assert total > 128
    assert "PCI: 128 functions on 1 bus" in boot
    assert f"PCI: {total - 128} more functions are left out: the table is full" in boot
    assert len(listed(machine.command("pci"))) == 128
