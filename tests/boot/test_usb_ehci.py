"""Keyboards on EHCI controllers, on machines without PS/2.

QEMU's usb-kbd is a high-speed device unless usb_version=1 makes it one of full speed, which EHCI
hands over to its companion. QEMU has no high-speed hub: what goes through one (split transactions)
is tested on the host alone.
"""
import re
import time

import pytest

import keys
from machine import TIMEOUT
from memory_model import meminfo

quick, full = pytest.mark.quick, pytest.mark.full

EHCI = ["-device", "usb-ehci,id=ehci"]
COMPANIONS = ["-device", "ich9-usb-ehci1,id=ehci,addr=1d.7,multifunction=on"]
for number in range(3):
    COMPANIONS += ["-device", f"ich9-usb-uhci{number + 1},addr=1d.{number},multifunction=on,"
                              f"masterbus=ehci.0,firstport={2 * number}"]
KEYBOARD = ["-device", "usb-kbd,id=kbd,bus=ehci.0,port=2"]
STICK = ["-blockdev", "null-co,node-name=nothing,size=1048576,read-zeroes=on",
         "-device", "usb-storage,id=stick,bus=ehci.0,port=1,drive=nothing"]

# Bits of a port's register.
CONNECTED, ENABLED, COMPANION = 1 << 0, 1 << 2, 1 << 13


@pytest.fixture
def without_ps2(boot):
    """A function that boots a machine without PS/2 that has these devices."""
    def boot_machine(*devices, chipset="q35", **options):
        return boot(machine=f"{chipset},i8042=off", extra=sum(devices, []), **options)
    return boot_machine


def tap(machine, *names, device=None):
    """Presses keys together and releases them, on the keyboard that is bound to a device."""
    events = [{"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}
              for down in (True, False) for name in names[::1 if down else -1]]
    machine.qmp("input-send-event", events=events, **({"device": device} if device else {}))


def assert_types(machine):
    """What is typed arrives, key by key: nothing is under way when a keyboard is pulled out."""
    for character in "echo The quick BROWN fox: 42\n":
        tap(machine, *keys.LAYOUTS["us"][character])
        machine.wait_for("\r\n" if character == "\n" else character)
    assert machine.prompt() == ["The quick BROWN fox: 42"]


def assert_types_meminfo(machine):
    """The same as people type it: keys are held for a while."""
    machine.type("meminfo\n")
    machine.wait_for(re.compile(rb"meminfo\r\nMemTotal: +\d+ kB"))
    machine.prompt()


def wait_for_keyboard(machine, port=2):
    machine.wait_for(re.compile(rb"keyboard: USB, on EHCI \S+ port %d\r\n" % port))
    machine.prompt()


def wait_gone(machine, port=2):
    machine.wait_for(re.compile(rb"keyboard: USB, on EHCI \S+ port %d: gone" % port))
    machine.prompt()
    machine.command("usb")  # answers when the thread is through with the device


def port_status(machine, port):
    """A port's register, as QEMU shows it."""
    text = machine.qmp("human-monitor-command", **{"command-line": "info mtree -f"})
    base = int(re.search(r"([0-9a-f]{16})-[0-9a-f]{16} .*: ports", text)[1], 16)
    address = base + 4 * (port - 1)
    words = machine.qmp("human-monitor-command", **{"command-line": f"xp /1wx {address:#x}"})
    return int(words.split(":")[1], 16)


def wait_port(machine, port, mask, value):
    """Waits until these bits of a port's register are so."""
    deadline = time.monotonic() + TIMEOUT
    while (status := port_status(machine, port)) & mask != value:
        assert time.monotonic() < deadline, f"port {port} stays at {status:08x}"
        time.sleep(0.05)


# ---- High speed --------------------------------------------------------------------------------

@pytest.mark.parametrize("chipset, controller", [
    pytest.param("q35", EHCI, marks=quick, id="q35"),
    pytest.param("pc", EHCI, marks=full, id="pc"),
    pytest.param("q35", COMPANIONS, marks=full, id="ich9"),
])
def test_keyboard(without_ps2, chipset, controller):
    """It is there before the first prompt."""
    machine = without_ps2(controller, KEYBOARD, chipset=chipset)
    assert "keyboard: USB, on EHCI" in machine.transcript()
    assert_types_meminfo(machine)
    assert_types(machine)


@pytest.mark.parametrize("firmware", [pytest.param("uefi", marks=full),
                                      pytest.param("uefi32", marks=full)])
def test_keyboard_after_uefi(without_ps2, firmware):
    """UEFI has a driver of its own, which has used the controller before."""
    assert_types(without_ps2(EHCI, KEYBOARD, firmware=firmware))


@full
def test_hot_plug(without_ps2):
    """In and out, again and again, at other ports too; nothing is lost by it."""
    machine = without_ps2(EHCI)
    for turn, port in enumerate([2, 2, 6, 1, 2]):
        machine.plug(f"usb-kbd,id=late,bus=ehci.0,port={port}")
        wait_for_keyboard(machine, port)
        assert_types(machine)
        machine.pull("late")
        wait_gone(machine, port)
        figures = meminfo(machine)
        if turn > 0:
            assert figures["MemFree"] == before["MemFree"]
            assert figures["HeapUsed"] == before["HeapUsed"]
            assert figures["HeapBlocks"] == before["HeapBlocks"]
        before = figures


@full
def test_two_keyboards(without_ps2):
    """Both type one line, key by key in turn. One of them gets what is sent to the screen."""
    machine = without_ps2(EHCI, KEYBOARD, [
        "-vga", "none", "-device", "VGA,id=screen",
        "-device", "usb-kbd,id=second,bus=ehci.0,port=5,display=screen"])
    for turn, name in enumerate("m e m i n f o ret".split()):
        tap(machine, name, device="screen" if turn % 2 else None)
        machine.wait_for("\r\n" if name == "ret" else name)
    assert machine.prompt()[0].startswith("MemTotal:")
    machine.pull("second")
    wait_gone(machine, 5)
    assert_types(machine)
    machine.pull("kbd")
    wait_gone(machine)
    assert machine.one_line("echo still there") == "still there"


@full
def test_all_ports(without_ps2):
    """Six keyboards at once: 12 pipes. Pulled out in another order, each leaves the others alone."""
    machine = without_ps2(EHCI)
    for port in range(1, 7):
        machine.plug(f"usb-kbd,id=k{port},bus=ehci.0,port={port}")
        wait_for_keyboard(machine, port)
    for port in (3, 6, 1, 4, 5):
        machine.pull(f"k{port}")
        wait_gone(machine, port)
        assert_types(machine)


@full
def test_stick_is_left_alone(without_ps2):
    machine = without_ps2(EHCI, STICK, KEYBOARD)
    assert_types(machine)
    assert "does not answer" not in machine.transcript()
    assert any("storage" in line for line in machine.command("usb"))
    assert port_status(machine, 1) & (CONNECTED | ENABLED) == CONNECTED | ENABLED


# ---- Companions --------------------------------------------------------------------------------

@quick
def test_slower_device_goes_to_the_companion(without_ps2):
    """The port has another owner while it is in, and comes back for a faster one."""
    machine = without_ps2(COMPANIONS)
    assert not port_status(machine, 3) & COMPANION
    machine.plug("usb-kbd,id=slow,bus=ehci.0,port=3,usb_version=1")
    wait_port(machine, 3, COMPANION, COMPANION)
    machine.pull("slow")
    wait_port(machine, 3, COMPANION, 0)
    machine.plug("usb-kbd,id=fast,bus=ehci.0,port=3")
    wait_for_keyboard(machine, 3)
    assert port_status(machine, 3) & (ENABLED | COMPANION) == ENABLED
    assert_types(machine)


@full
def test_keyboard_at_a_companion(without_ps2):
    machine = without_ps2(COMPANIONS, ["-device", "usb-kbd,bus=ehci.0,port=2,usb_version=1"])
    assert "keyboard: USB, on UHCI" in machine.transcript()
    assert_types(machine)


@full
def test_keyboard_behind_a_hub_at_a_companion(without_ps2):
    """QEMU's hub is a full-speed one."""
    machine = without_ps2(COMPANIONS, ["-device", "usb-hub,bus=ehci.0,port=4",
                                       "-device", "usb-kbd,bus=ehci.0,port=4.2,usb_version=1"])
    assert "keyboard: USB, on UHCI" in machine.transcript()
    assert_types(machine)


@full
def test_one_on_each(without_ps2):
    """The same keyboard goes in at either speed, at the same port."""
    machine = without_ps2(COMPANIONS, KEYBOARD)
    machine.plug("usb-kbd,id=slow,bus=ehci.0,port=4,usb_version=1")
    machine.wait_for(re.compile(rb"keyboard: USB, on UHCI \S+ port \d\r\n"))
    machine.prompt()
    assert_types(machine)
    machine.pull("slow")
    machine.wait_for(re.compile(rb"keyboard: USB, on UHCI \S+ port \d: gone"))
    machine.prompt()
    assert_types(machine)
