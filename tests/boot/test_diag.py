"""The report of `diag`: its facts, and its codes as a reader of QR codes sees them on the screen."""
import re
import struct
import subprocess
import time
import zlib

import pytest

import images

FULL = pytest.mark.full
QUICK = pytest.mark.quick

BRAILLE = re.compile("[\u2800-\u28ff]+")
HALF_BLOCKS = {" ": (0, 0), "\u2580": (1, 0), "\u2584": (0, 1), "\u2588": (1, 1)}   # light ones
READ_TIMEOUT = 30


def read_codes(picture):
    """The texts of the QR codes on a PPM."""
    done = subprocess.run(["zbarimg", "--quiet", "--raw", "--nodbus", "ppm:-"], input=picture,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode()


def wait_code(machine, accept):
    """Photographs the screen until the text of its code is accepted; returns that."""
    deadline = time.monotonic() + READ_TIMEOUT
    while not accept(text := read_codes(machine.photograph()).removesuffix("\n")):
        if time.monotonic() >= deadline:
            machine.fail(f"waited for another QR code than {text!r}")
        time.sleep(0.2)
    return text


def report(lines):
    """The report's lines: without a code or the hint that follows them."""
    return [line for line in lines
            if not BRAILLE.fullmatch(line) and not line.startswith("As ")]


def facts(lines):
    """The report by the words that its lines begin with; what was wrapped in one piece."""
    text = "\n".join(report(lines)).replace("\n ", " ")
    return {key: [rest for word, _, rest in (line.partition(" ") for line in text.split("\n"))
                  if word == key] for key in {line.split(" ")[0] for line in text.split("\n")}}


def assert_one_screen_and_one_code(machine):
    """The report and its code are on the screen, and say the same."""
    lines = machine.command("diag")
    text = "\n".join(report(lines)) + "\n"
    assert any(BRAILLE.fullmatch(line) for line in lines)
    assert wait_code(machine, lambda code: code != "") == text
    assert len(lines) + 1 <= machine.look().rows


@QUICK
def test_code_on_the_framebuffer(machine):
    assert_one_screen_and_one_code(machine)
    machine.command("clear")
    lines = machine.command("diag qr")
    assert all(BRAILLE.fullmatch(line) for line in lines)
    assert "RoninOS" in wait_code(machine, lambda code: code != "")


@pytest.mark.parametrize("firmware, name", [
    pytest.param("uefi", "UEFI x64", marks=QUICK), pytest.param("uefi32", "UEFI ia32", marks=FULL)])
def test_code_on_uefi(boot, firmware, name):
    machine = boot(firmware=firmware)
    assert_one_screen_and_one_code(machine)
    assert facts(machine.command("diag"))["firmware"][0].startswith(f"{name}, GRUB ")


@FULL
@pytest.mark.parametrize("video, extra", [
    ("640x480x32", []), ("800x600x16", []), ("800x600x24", ["-vga", "cirrus"]),
    ("1920x1080x32", [])])
def test_code_in_other_modes(start, video, extra):
    machine = start(images.make_image(video=video), extra=extra)
    machine.prompt()
    lines = machine.command("diag")
    text = "\n".join(report(lines)) + "\n"
    if not any(BRAILLE.fullmatch(line) for line in lines):
        assert lines[-1] == "As a QR code: diag qr"
        machine.command("diag qr")
    assert wait_code(machine, lambda code: code != "") == text


def codes_in_parts(machine, count):
    """What all codes of a report hold that needs several, put together."""
    text = ""
    for number in range(1, count + 1):
        assert len(machine.command(f"diag qr {number}")) < 25
        head = f"{number}/{count}\n"
        text += wait_code(machine, lambda code, head=head: code.startswith(head))[len(head):]
    return text


@QUICK
def test_codes_in_text_mode(text_machine):
    """Codes of half blocks; together they are the report that was printed last."""
    lines = text_machine.command("diag")
    assert len(lines) < 25
    count = int(re.fullmatch(r"As QR codes: diag qr 1 to diag qr (\d+)", lines[-1])[1])
    assert codes_in_parts(text_machine, count) == "\n".join(report(lines)) + "\n"
    assert text_machine.command(f"diag qr {count + 1}") == [f"error: there are codes 1 to {count}"]


def picture_of(lines):
    """A PPM of a code of half blocks, in squares of four."""
    rows = []
    for line in lines:
        for half in (0, 1):
            row = b"".join((b"\xff" if HALF_BLOCKS[c][half] else b"\0") * 12 for c in line)
            rows += [row] * 4
    return b"P6\n%d %d\n255\n" % (len(rows[0]) // 3, len(rows)) + b"".join(rows)


@QUICK
def test_code_over_com1_alone(start):
    """Without a screen there is one code, of any size."""
    machine = start(images.make_image("console=serial"))
    machine.prompt()
    lines = machine.command("diag")
    assert lines[-1] == "As a QR code: diag qr"
    assert facts(lines)["output"] == ["COM1"]
    code = read_codes(picture_of(machine.command("diag qr")))
    assert code == "\n".join(report(lines)) + "\n\n"


# ---- The facts ----

def memory_of(boot):
    """Count, CRC-32 and KiB of available memory of the map that the boot printed."""
    count, crc, available = 0, 0, 0
    for line in boot:
        match = re.fullmatch(r"  0x([0-9a-f]{16}) - 0x([0-9a-f]{16})  (.+)", line)
        kinds = {"available": 1, "reserved": 2, "ACPI tables": 3, "ACPI NVS": 4, "bad RAM": 5}
        if match:
            first, last = int(match[1], 16), int(match[2], 16)
            kind = kinds.get(match[3])
            if kind is None:
                return None         # the boot does not say which
            crc = zlib.crc32(struct.pack("<3Q", first, last + 1, kind), crc)
            count += 1
            available += last + 1 - first if kind == 1 else 0
    return f"{count} regions 0x{crc:08x}, {available // 1024} KiB below 4 GiB, 0 KiB above"


@QUICK
def test_facts(start):
    machine = start(machine="q35", cpu="core2duo", extra=[
        "-device", "qemu-xhci,id=host", "-device", "usb-hub,bus=host.0,port=1",
        "-device", "usb-kbd,bus=host.0,port=1.3", "-device", "piix3-usb-uhci,id=old",
        "-device", "usb-tablet,bus=old.0,port=2"])
    boot = machine.prompt()
    known = facts(machine.command("diag"))

    assert re.fullmatch(r"\S+, up \d+ s", known["RoninOS"][0])
    assert known["firmware"][0].startswith("BIOS, GRUB ")
    assert known["cpu"][0].startswith("GenuineIntel, 6.15.11, ")
    assert " pse36 " in known["cpu"][0] and known["cpu"][0].endswith("T7700 @ 2.40GHz")
    figures = dict(line.split(":") for line in machine.command("meminfo"))
    total = figures["MemTotal"].split()[0]
    assert known["memory"][0].startswith(memory_of(boot) + ", free ")
    assert known["memory"][0].endswith(f" of {total} KiB")
    assert known["screen"] == ["1024x768x32, type 1, pitch 4096, at 0xfd000000"]
    assert known["output"] == ["COM1, framebuffer"]
    assert known["keyboards"][0].endswith(", layout us") and "PS/2" in known["keyboards"][0]
    assert known["timer"] == ["tick PIT, clock PIT, 1193182 Hz"]
    functions = machine.qmp("query-pci")[0]["devices"]
    assert known["pci"][0].startswith(f"{len(functions)} functions, ")
    for device in functions:
        line = f"{device['bus']:02x}:{device['slot']:02x}.{device['function']} " \
               f"{device['id']['vendor']:04x}:{device['id']['device']:04x} "
        told = device["class_info"]["class"] >> 8 in (1, 3) or \
            device["class_info"]["class"] in (0x0600, 0x0601, 0x0c03)
        assert (line in known["pci"][0]) == told
    usb = sorted(re.sub(r" 00:\S+", "", line) for line in known["usb"])
    assert usb == ["UHCI 2 ports, 2 0627:0001 unused full",
                   "xHCI 8 ports, 5 0409:55aa hub full, >3 0627:0001 keyboard full"]
    assert known["warnings"] == ["0"] and "!" not in known


@QUICK
def test_last_warnings(start):
    """The last eight of them, the latest first."""
    words = [f"word{number}" for number in range(11)]
    machine = start(images.make_image(" ".join(words)))
    machine.prompt()
    known = facts(machine.command("diag"))
    assert known["warnings"] == ["11"]
    assert known["!"] == [f"unknown word on the command line: {word}" for word in words[:2:-1]]


@QUICK
def test_arguments_and_figures(machine):
    before = machine.command("meminfo")
    machine.command("diag")
    for line in ("diag x", "diag qr x", "diag qr 1 2"):
        assert machine.command(line) == ["usage: diag [qr [NUMBER]]"]
    assert machine.command("diag qr 2") == ["error: there is only code 1"]
    assert machine.command("diag qr 0") == ["error: there is only code 1"]
    assert machine.command("meminfo") == before
