"""Keyboards on UHCI and OHCI, the controllers of USB 1.1: on machines without PS/2, keys reach the
shell only through them."""
import re
import socket
import time

import pytest

import images
import keys

NO_PS2 = {"pc": "pc,i8042=off", "q35": "q35,i8042=off"}
CONTROLLERS = {
    "piix3": ("UHCI", ["-device", "piix3-usb-uhci,id=host"]),
    "piix4": ("UHCI", ["-device", "piix4-usb-uhci,id=host"]),
    "ich9": ("UHCI", ["-device", "ich9-usb-uhci1,id=host"]),
    "ohci": ("OHCI", ["-device", "pci-ohci,id=host"]),
}
UHCI, OHCI = "piix3", "ohci"
KEYBOARD = ["-device", "usb-kbd,bus=host.0,port=1"]
HUB = ["-device", "usb-hub,bus=host.0,port=1"]
FOUND = re.compile(rb"keyboard: USB, on (\S+) \S+ port ([0-9.]+)\r\n")
GONE = re.compile(rb"keyboard: USB, on (\S+) \S+ port ([0-9.]+): gone\r\n")
FREE_PIECES = re.compile(r"free: (\d+ queues(, \d+ TDs)?), ")
MEMORY_IN_USE = re.compile(r"(MemFree|MemUsed|PageTables|HeapTotal|HeapUsed|HeapBlocks): +\d+.*")


def machine_with(boot, controller, *extra, chipset="pc"):
    """A machine at its prompt, with that controller; what came before the prompt is in `before`."""
    return boot(machine=NO_PS2[chipset], extra=CONTROLLERS[controller][1] + sum(extra, []))


def keyboards(machine):
    """What the boot found: (kind of controller, port) of each keyboard."""
    return [(found[1].decode(), found[2].decode()) for found in FOUND.finditer(machine.received)]


def types_a_command(machine):
    """Types `meminfo`, and sees its answer and the next prompt."""
    machine.type("meminfo\n")
    machine.wait_for("meminfo\r\nMemTotal:")
    machine.prompt()


def tap(machine, character, device=None):
    """Presses a key and releases it, on the keyboard that is bound to a device, or on one that is not."""
    [name] = keys.LAYOUTS["us"][character]
    events = [{"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}
              for down in (True, False)]
    machine.qmp("input-send-event", events=events, **({"device": device} if device else {}))


def wait_gone(machine):
    """Waits until a keyboard is gone and the prompt is there again: (kind, port)."""
    gone = machine.wait_for(GONE)
    machine.prompt()
    return gone[1].decode(), gone[2].decode()


def memory_in_use(machine):
    """What `meminfo` says, and `usb` of the controller's own queues and descriptors."""
    pieces = [FREE_PIECES.search(line) for line in machine.command("usb")]
    return [line for line in machine.command("meminfo") if MEMORY_IN_USE.fullmatch(line)] + \
        [found[1] for found in pieces if found]


def wait_memory(machine, wanted):
    """Waits until no more memory is in use than then: a device is freed soon after its message."""
    deadline = time.monotonic() + 10
    while (figures := memory_in_use(machine)) != wanted:
        assert time.monotonic() < deadline, f"{figures} in use, before it was {wanted}"


# ---- Typing ----

@pytest.mark.quick
@pytest.mark.parametrize("chipset, controller", [("pc", "piix3"), ("q35", "ohci")])
def test_types(boot, chipset, controller):
    machine = machine_with(boot, controller, KEYBOARD, chipset=chipset)
    assert keyboards(machine) == [(CONTROLLERS[controller][0], "1")]
    types_a_command(machine)


@pytest.mark.full
@pytest.mark.parametrize("chipset, controller", [
    ("q35", "piix3"), ("pc", "piix4"), ("q35", "piix4"), ("pc", "ich9"), ("q35", "ich9"),
    ("pc", "ohci")])
def test_types_on_other_machines(boot, chipset, controller):
    machine = machine_with(boot, controller, KEYBOARD, chipset=chipset)
    assert keyboards(machine) == [(CONTROLLERS[controller][0], "1")]
    types_a_command(machine)


@pytest.mark.full
def test_types_on_the_pc_with_usb(boot):
    machine = boot(machine="pc,i8042=off", extra=["-usb", "-device", "usb-kbd"])
    assert [kind for kind, _ in keyboards(machine)] == ["UHCI"]
    types_a_command(machine)


@pytest.mark.quick
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_types_behind_a_hub(boot, controller):
    machine = machine_with(boot, controller, HUB, ["-device", "usb-kbd,bus=host.0,port=1.3"])
    assert keyboards(machine) == [(CONTROLLERS[controller][0], "1.3")]
    types_a_command(machine)


@pytest.mark.full
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_types_behind_three_hubs(boot, controller):
    hubs = HUB + ["-device", "usb-hub,bus=host.0,port=1.8",
                  "-device", "usb-hub,bus=host.0,port=1.8.2"]
    machine = machine_with(boot, controller, hubs, ["-device", "usb-kbd,bus=host.0,port=1.8.2.1"])
    assert keyboards(machine) == [(CONTROLLERS[controller][0], "1.8.2.1")]
    types_a_command(machine)


@pytest.mark.full
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_fast_typing_loses_nothing(boot, controller):
    machine = machine_with(boot, controller, KEYBOARD)
    text = "the quick brown fox jumps over the lazy dog " * 2
    machine.type(text + "\n")
    machine.wait_for(text)
    machine.prompt()


@pytest.mark.full
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_leds_do_not_disturb(boot, controller):
    """Each lock key makes the kernel send a control transfer between the reports."""
    machine = machine_with(boot, controller, KEYBOARD)
    for _ in range(10):
        machine.press("num_lock")
        machine.press("scroll_lock")
    machine.press("caps_lock")
    machine.type("meminfo")
    machine.wait_for("MEMINFO")
    for _ in "meminfo":
        machine.press("backspace")
    machine.press("caps_lock")
    types_a_command(machine)


@pytest.mark.full
def test_two_keyboards_on_two_controllers(boot):
    """The one that is bound to the screen gets what is sent to the screen, the other the rest."""
    machine = boot(machine="pc,i8042=off", extra=[
        "-vga", "none", "-device", "VGA,id=screen",
        "-device", "piix3-usb-uhci,id=uhci", "-device", "pci-ohci,id=ohci",
        "-device", "usb-kbd,bus=uhci.0", "-device", "usb-kbd,bus=ohci.0,display=screen"])
    assert sorted(kind for kind, _ in keyboards(machine)) == ["OHCI", "UHCI"]
    for number, character in enumerate("meminfo\n"):
        tap(machine, character, device="screen" if number % 2 else None)
        machine.wait_for("\r\n" if character == "\n" else character)
    machine.wait_for("MemTotal:")


@pytest.mark.full
def test_six_controllers_at_once(boot):
    extra = []
    for number in range(3):
        extra += ["-device", f"piix4-usb-uhci,id=u{number}", "-device", f"pci-ohci,id=o{number}"]
    machine = boot(machine="q35,i8042=off", extra=[*extra, "-device", "usb-kbd,bus=o2.0"])
    assert [kind for kind, _ in keyboards(machine)] == ["OHCI"]
    types_a_command(machine)


@pytest.mark.full
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_a_stick_is_left_alone(boot, controller):
    """It is no keyboard: it is looked at, and neither disturbs nor gets an endpoint.

    Started is the CD: SeaBIOS and GRUB sometimes hang when they read a stick behind a UHCI.
    """
    machine = machine_with(boot, controller, KEYBOARD, [
        "-boot", "d",
        "-drive", f"if=none,id=stick,format=raw,snapshot=on,file={images.default_image()}",
        "-device", "usb-storage,bus=host.0,port=2,drive=stick"])
    assert keyboards(machine) == [(CONTROLLERS[controller][0], "1")]
    types_a_command(machine)


# ---- Plugging ----

@pytest.mark.parametrize("controller", [pytest.param(UHCI, marks=pytest.mark.quick),
                                        pytest.param(OHCI, marks=pytest.mark.full)])
def test_plugged_in_and_pulled_out(boot, controller):
    """Again and again, and after it the memory in use is the same."""
    machine = machine_with(boot, controller)
    assert keyboards(machine) == []
    before = memory_in_use(machine)
    for _ in range(4):
        machine.plug("usb-kbd,bus=host.0,port=2,id=late")
        assert machine.wait_for(FOUND)[2] == b"2"
        types_a_command(machine)
        machine.pull("late")
        assert wait_gone(machine)[1] == "2"
        wait_memory(machine, before)


@pytest.mark.full
@pytest.mark.parametrize("controller", [UHCI, OHCI])
def test_a_hub_is_pulled_out_with_its_keyboards(boot, controller):
    machine = machine_with(boot, controller)
    before = memory_in_use(machine)
    for _ in range(3):
        machine.plug("usb-hub,bus=host.0,port=1,id=hub")
        machine.plug("usb-kbd,bus=host.0,port=1.1,id=first")
        machine.wait_for(FOUND)
        machine.plug("usb-kbd,bus=host.0,port=1.4,id=second")
        machine.wait_for(FOUND)
        types_a_command(machine)
        machine.qmp("device_del", id="hub")
        assert {wait_gone(machine)[1] for _ in range(2)} == {"1.1", "1.4"}
        wait_memory(machine, before)


# ---- Controllers that fail ----

def monitor(machine, command):
    return machine.qmp("human-monitor-command", **{"command-line": command})


def word_after(text):
    """The number in what the monitor prints of one word."""
    return int(re.search(r"(?:=|:) *0x([0-9a-f]+)", text)[1], 16)


def registers(machine, name, kind):
    """Where the registers are of the PCI device with that id: port ("io") or physical address."""
    regions = next(device["regions"] for device in machine.qmp("query-pci")[0]["devices"]
                   if device["qdev_id"] == name)
    return next(region["address"] for region in regions if region["type"] == kind)


def write_memory(machine, address, words):
    """Writes words to identity-mapped memory behind the kernel's back, as a debugger."""
    path = f"{machine.folder.name}/gdb"
    monitor(machine, f"gdbserver unix:{path},server=on,wait=off")
    with socket.socket(socket.AF_UNIX) as gdb:
        gdb.settimeout(10)
        gdb.connect(path)
        data = b"".join(word.to_bytes(4, "little") for word in words).hex()
        for request, answer in ((f"M{address:x},{len(data) // 2:x}:{data}", b"$OK#"), ("D", b"$OK#")):
            gdb.sendall(f"${request}#{sum(request.encode()) % 256:02x}".encode())
            received = b""
            while answer not in received:
                received += gdb.recv(4096)


@pytest.fixture
def both(boot):
    """A keyboard on a UHCI and one on an OHCI."""
    return boot(machine="pc,i8042=off", extra=[
        "-device", "piix3-usb-uhci,id=uhci", "-device", "pci-ohci,id=ohci",
        "-device", "usb-kbd,bus=uhci.0,id=on_uhci", "-device", "usb-kbd,bus=ohci.0,id=on_ohci"])


def is_given_up(machine, kind, message):
    """The controller is left alone with a message, its keyboard is gone, the other one types."""
    machine.wait_for(re.compile(rf"{kind}: 00:[0-9a-f]{{2}}\.\d: {message}\r\n".encode()))
    assert wait_gone(machine)[0] == kind
    machine.pull("on_uhci" if kind == "UHCI" else "on_ohci")    # or QEMU would send keys to it
    types_a_command(machine)


@pytest.mark.full
def test_uhci_that_stops(both):
    monitor(both, f"o/2 {registers(both, 'uhci', 'io'):#x} 0")
    is_given_up(both, "UHCI", "it stopped by itself")


@pytest.mark.full
def test_uhci_process_error(both):
    """A frame of its list is made to point at a descriptor whose packet is of no kind."""
    frames = word_after(monitor(both, f"i/4 {registers(both, 'uhci', 'io') + 8:#x}"))
    descriptor = int(both.one_line("frame alloc"), 16)
    write_memory(both, descriptor, [1, 1 << 23, 0, 0])
    write_memory(both, frames + 4 * 100, [descriptor])
    is_given_up(both, "UHCI", "host controller process error, stopped")


@pytest.mark.full
def test_ohci_unrecoverable_error(both):
    """One of its interrupt lists is made to begin where no memory is."""
    hcca = word_after(monitor(both, f"xp/1wx {registers(both, 'ohci', 'memory') + 0x18:#x}"))
    write_memory(both, hcca + 4 * 7, [0xe0000000])
    is_given_up(both, "OHCI", "unrecoverable error, stopped")


@pytest.mark.full
def test_ohci_whose_done_queue_is_damaged(both):
    """It is made to run, and so to hand over, a descriptor that no driver gave to it: an empty
    setup packet, which the keyboard at address 1 refuses."""
    hcca = word_after(monitor(both, f"xp/1wx {registers(both, 'ohci', 'memory') + 0x18:#x}"))
    endpoint, descriptor = hcca + 0x100, hcca + 0x200   # in the unused rest of the HCCA's page
    write_memory(both, descriptor, [0, 0, descriptor + 16, 0])
    write_memory(both, endpoint, [8 << 16 | 1, descriptor + 16, descriptor, 0])
    write_memory(both, hcca, [endpoint] * 32)
    is_given_up(both, "OHCI", "its done queue makes no sense, stopped")
