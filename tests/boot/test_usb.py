"""USB keyboards behind xHCI: typing, plugging in and pulling out, hubs, several at once.

A keyboard that is bound to the screen gets only what is sent to the screen, the others what is
sent to nobody; so a test says which of two keyboards it types on. Each key is pressed and released
at once, and its echo is awaited: what QEMU has queued when another keyboard is plugged in would
go there, and a release that goes astray leaves a key held.
"""
import re
import struct

import pytest

import keys
from memory_model import meminfo, taken

XHCI = ["-device", "qemu-xhci,id=usb"]
NEC = ["-device", "nec-usb-xhci,id=usb"]
KEYBOARD = ["-device", "usb-kbd,id=keys,bus=usb.0,port=1"]
STICK = ["-drive", "if=none,id=disk,format=raw,file=null-co://,file.size=1M,file.read-zeroes=on",
         "-device", "usb-storage,bus=usb.0,port=2,drive=disk"]
SCREEN = ["-vga", "none", "-device", "VGA,id=screen"]
BOUND = "usb-kbd,display=screen"
NO_PS2 = "q35,i8042=off"
PROMPT = "ronin> "

# Keys that an editor of lines leaves alone; no quotes.
TEXT = "the quick BROWN fox 0123456789 -=[];,./ !@#$%^&*()_+{}:<>? "


def appears(machine, text):
    """Waits for a message of the kernel above the open prompt, and for the prompt."""
    machine.wait_for(text)
    machine.wait_for(PROMPT)


def plug(machine, device):
    machine.plug(device)
    appears(machine, "keyboard: USB, on ")


def pull(machine, name):
    machine.pull(name)
    appears(machine, ": gone")


def event(name, down):
    return {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}}


def send(machine, events, device=None):
    """Key events, to the keyboard that is bound to a device."""
    machine.qmp("input-send-event", events=events, **({"device": device} if device else {}))


def hold(machine, name, down=True, device=None):
    send(machine, [event(name, down)], device)


def strokes(names):
    """Keys pressed together and released."""
    return [event(name, True) for name in names] + [event(name, False) for name in names[::-1]]


def tap(machine, *names, device=None):
    send(machine, strokes(names), device)


def type_text(machine, text, device=None):
    for character in text:
        tap(machine, *keys.LAYOUTS["us"][character], device=device)
        machine.wait_for("\r\n" if character == "\n" else character)


def echo(machine, text, device=None):
    """Lets the shell print a text that is typed."""
    type_text(machine, f"echo '{text}'\n", device)
    output = machine.prompt()
    assert output == [text]


def listed(machine):
    """What `usb` prints of devices: by the ports that lead there, (driver or class, speed)."""
    devices, path = {}, []
    for line in machine.command("usb"):
        if match := re.fullmatch(r"(  +)port (\d+): [0-9a-f]{4}:[0-9a-f]{4} (.+), "
                                 r"(low|full|high|super) speed, address \d+.*", line):
            path[len(match[1]) // 2 - 1:] = [match[2]]
            devices[".".join(path)] = (match[3], match[4])
    return devices


# ---- Typing ------------------------------------------------------------------------------------

@pytest.mark.parametrize("chipset, controller", [
    pytest.param(NO_PS2, XHCI, marks=pytest.mark.quick),
    pytest.param("pc", XHCI, marks=pytest.mark.full),
    pytest.param("pc,i8042=off", NEC, marks=pytest.mark.full),
    pytest.param("q35", ["-device", "nec-usb-xhci,id=usb,p2=15,p3=15"], marks=pytest.mark.full),
    pytest.param("q35", ["-device", "pcie-root-port,id=r1,chassis=1",
                         "-device", "qemu-xhci,id=usb,bus=r1"], marks=pytest.mark.full)])
def test_typing(boot, chipset, controller):
    machine = boot(machine=chipset, extra=[*controller, *KEYBOARD])
    type_text(machine, "meminfo\n")
    assert machine.prompt()[0].startswith("MemTotal:")
    echo(machine, TEXT)


@pytest.mark.full
@pytest.mark.parametrize("firmware, cpu", [("uefi", "core2duo"), ("uefi", "max"), ("uefi32", None)])
def test_typing_after_uefi(boot, firmware, cpu):
    """OVMF x64 puts the controller's registers above 4 GiB."""
    machine = boot(machine=NO_PS2, firmware=firmware, cpu=cpu, memory="256M",
                   extra=[*XHCI, *KEYBOARD])
    echo(machine, TEXT)


@pytest.mark.full
def test_typing_on_a_machine_booted_from_a_stick(boot):
    machine = boot(machine=NO_PS2, media="usb", extra=["-device", "usb-kbd"])
    echo(machine, TEXT)


@pytest.mark.full
def test_no_key_is_lost(boot):
    """QEMU's keyboard keeps 16 events that were not fetched; they come as fast as it can."""
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    text = (TEXT * 9)[:500]
    type_text(machine, "echo '")
    for at in range(0, len(text), 2):
        burst = text[at:at + 2]
        send(machine, [e for c in burst for e in strokes(keys.LAYOUTS["us"][c])])
        machine.wait_for(burst)
    type_text(machine, "'\n")
    assert machine.prompt() == [text]


@pytest.mark.quick
def test_a_held_key_repeats_until_it_is_released(boot):
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    type_text(machine, "echo ")
    hold(machine, "a")
    machine.wait_for("a" * 20)
    hold(machine, "a", False)
    type_text(machine, "b\n")
    assert re.fullmatch("a{20,}b", machine.prompt()[0])


@pytest.mark.full
def test_layout_and_locks_are_those_of_every_keyboard(boot):
    machine = boot(machine="q35", extra=[*SCREEN, *XHCI, "-device", f"{BOUND},bus=usb.0"])
    machine.command("keymap de")
    type_text(machine, "echo ", "screen")
    tap(machine, "caps_lock", device="screen")
    for device in ("screen", None):
        for name, letter in [("y", "Z"), ("semicolon", "Ö")]:
            tap(machine, name, device=device)
            machine.wait_for(letter)
    type_text(machine, "\n")
    assert machine.prompt() == ["ZÖZÖ"]


# ---- Hubs, and other devices -------------------------------------------------------------------

@pytest.mark.quick
def test_a_keyboard_behind_two_hubs(boot):
    machine = boot(machine=NO_PS2, extra=[
        *XHCI, "-device", "usb-hub,bus=usb.0,port=1", "-device", "usb-hub,bus=usb.0,port=1.3",
        "-device", "usb-mouse,bus=usb.0,port=1.2", "-device", "usb-kbd,bus=usb.0,port=1.3.8"])
    echo(machine, TEXT)
    assert listed(machine) == {
        "5": ("hub", "full"), "5.2": ("input device (class 03), no driver", "full"),
        "5.3": ("hub", "full"), "5.3.8": ("keyboard", "full")}


@pytest.mark.full
def test_hubs_and_keyboards_come_and_go(boot):
    """Keyboards at every depth that USB allows, and all of them gone with the first hub."""
    machine = boot(machine=NO_PS2, extra=XHCI)
    before = taken(meminfo(machine))
    path = "1"
    for depth in range(5):
        machine.plug(f"usb-hub,id=hub{depth},bus=usb.0,port={path}")
        plug(machine, f"usb-kbd,id=keys{depth},bus=usb.0,port={path}.2")
        echo(machine, f"depth {depth}")
        path += ".1"
    assert len(listed(machine)) == 10
    machine.qmp("device_del", id="hub0")
    for _ in range(5):
        appears(machine, ": gone")
    assert listed(machine) == {}
    assert taken(meminfo(machine)) == before


@pytest.mark.quick
def test_a_stick_is_listed_and_left_alone(boot):
    machine = boot(machine=NO_PS2, extra=[*XHCI, *STICK, *KEYBOARD])
    echo(machine, "typed")
    assert listed(machine) == {"2": ("storage (class 08), no driver", "super"),
                               "5": ("keyboard", "high")}


@pytest.mark.full
def test_two_controllers(boot):
    machine = boot(machine="q35", extra=[
        *SCREEN, *XHCI, *KEYBOARD, "-device", "nec-usb-xhci,id=second",
        "-device", f"{BOUND},bus=second.0"])
    type_text(machine, "echo ")
    for letter, device in [("a", None), ("b", "screen"), ("c", None), ("\n", "screen")]:
        type_text(machine, letter, device)
    assert machine.prompt() == ["abc"]
    assert [line.split()[0] for line in machine.command("usb") if line[0] != " "] == ["xHCI"] * 2


@pytest.mark.quick
def test_a_machine_without_usb_has_no_thread_for_it(machine):
    assert machine.one_line("usb") == "no USB controllers"
    assert not [line for line in machine.command("threads") if line.split()[1] == "usb"]


# ---- Plugging in and pulling out ---------------------------------------------------------------

@pytest.mark.quick
def test_a_keyboard_comes_and_goes(boot):
    machine = boot(machine=NO_PS2, extra=XHCI)
    before = taken(meminfo(machine))
    for word in ("one", "two", "three"):
        plug(machine, "usb-kbd,id=keys,bus=usb.0,port=2")
        echo(machine, word)
        pull(machine, "keys")
        assert taken(meminfo(machine)) == before


@pytest.mark.quick
def test_what_a_pulled_keyboard_holds_is_released(boot):
    machine = boot(machine="q35", extra=[*SCREEN, *XHCI])
    plug(machine, f"{BOUND},id=keys,bus=usb.0")
    type_text(machine, "echo ", "screen")
    hold(machine, "shift", device="screen")
    tap(machine, "a", device="screen")
    machine.wait_for("A")
    pull(machine, "keys")
    type_text(machine, "b\n")
    assert machine.prompt() == ["Ab"]


@pytest.mark.quick
def test_a_key_stays_down_while_one_keyboard_holds_it(boot):
    """PS/2 and USB at once: Shift on both, released on one."""
    machine = boot(machine="q35", extra=[*SCREEN, *XHCI, "-device", f"{BOUND},bus=usb.0"])
    type_text(machine, "echo ")
    hold(machine, "shift")
    tap(machine, "a", device="screen")
    machine.wait_for("A")
    hold(machine, "shift", device="screen")
    tap(machine, "b", device="screen")
    machine.wait_for("B")
    hold(machine, "shift", False, "screen")
    tap(machine, "c", device="screen")
    machine.wait_for("C")
    hold(machine, "shift", False)
    type_text(machine, "d\n")
    assert machine.prompt() == ["ABCd"]


# ---- LEDs --------------------------------------------------------------------------------------

def output_reports(path):
    """The bytes of all SET_REPORT requests in a capture of a device's packets.

    Each record has usbmon's header of 64 bytes; byte 8 is 'S' for what the host submits, byte 9 the
    kind of transfer (2: control), and the setup packet stands at 40.
    """
    data, at, reports = path.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        record, at = data[at + 16:at + 16 + size], at + 16 + size
        if record[8:10] == b"S\x02" and record[40:42] == b"\x21\x09":
            reports.append(record[64:])
    return reports


@pytest.mark.quick
def test_leds_follow_the_locks(boot, tmp_path):
    capture = tmp_path / "usb.pcap"
    machine = boot(machine=NO_PS2, extra=[
        *XHCI, "-device", f"usb-kbd,bus=usb.0,pcap={capture}"])
    for name, letter in [("caps_lock", "A"), ("num_lock", "B"), ("caps_lock", "c")]:
        tap(machine, name)
        tap(machine, letter.lower())
        machine.wait_for(letter)
    tap(machine, "ret")
    machine.prompt()
    machine.send("poweroff\r")
    machine.wait_exit()
    num, caps = 1, 2
    assert b"".join(output_reports(capture)) == bytes([num, num | caps, caps, 0])


# ---- keys --------------------------------------------------------------------------------------

@pytest.mark.quick
def test_keys_shows_what_arrives(boot):
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    machine.send("keys\r")
    machine.wait_for("end this.\r\n")
    for name, text in [("a", "'a'"), ("ret", "U+000a")]:
        tap(machine, name)
        machine.wait_for(f"pressed: {text}\r\n")
        machine.wait_for(" released\r\n")
    machine.send("q")
    machine.wait_for("COM1: 'q'\r\n")
    tap(machine, "ctrl", "c")
    machine.prompt()
    machine.send("keys\r")
    machine.wait_for("end this.\r\n")
    tap(machine, "esc")
    tap(machine, "esc")
    machine.prompt()
    assert machine.one_line("echo nothing typed is left") == "nothing typed is left"


# ---- Ends --------------------------------------------------------------------------------------

@pytest.mark.full
def test_reboot_and_poweroff(boot):
    """The controller is left running by this kernel, and started by the next one."""
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    type_text(machine, "reboot\n")
    machine.prompt()
    echo(machine, "again")
    type_text(machine, "poweroff\n")
    assert machine.wait_event("SHUTDOWN")["reason"] in ("guest-reset", "guest-shutdown")
    assert machine.wait_exit() == 0


@pytest.mark.full
def test_a_panic_halts_with_a_controller_running(boot):
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    type_text(machine, "crash null-read\n")
    machine.wait_for("PANIC: ")
    tap(machine, "a")
    machine.wait_halted()


@pytest.mark.full
def test_selftest_with_a_keyboard(boot):
    machine = boot(machine=NO_PS2, extra=[*XHCI, *KEYBOARD])
    assert machine.command("selftest")[-1].endswith(" 0 failed")
