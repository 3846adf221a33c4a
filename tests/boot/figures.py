#!/usr/bin/python3
"""Renews the figures of the documentation from the running kernel.

usage: figures.py

Boots build/roninos.iso, types what SESSIONS holds, prints what a person would have seen, and puts
each session into the pages of docs/ and into README.md, where a comment names it:

    <!-- session: NAME -->
    ```text
    ronin> meminfo
    ...
    ```

Then it photographs screens for docs/images/. RONINOS_BUILD names another folder than
build/, as in the boot tests.
"""
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import images
from console import MachineError
from machine import Machine

PAGES = [images.ROOT / "README.md", *sorted((images.ROOT / "docs").glob("*.md"))]
PICTURES = images.ROOT / "docs" / "images"
PROMPT = "ronin> "
ATTEMPTS = 3            # a busy host can make a machine too slow for its own time limits

# Each session has a machine of its own. {1} stands for the first word that the session's first
# command printed, {2} for the second command's, and so on.
SESSIONS = {
    "help": ["help"],
    "meminfo": ["meminfo"],
    "frames": ["frame alloc", "map 0xa0000000 {1}", "poke 0xa0000000 0xc0ffee", "peek {1}",
               "translate 0xa0000000", "frame free {1}", "unmap 0xa0000000", "frame free {1}"],
    "blocks": ["kmalloc 100", "kmalloc 5000", "kmalloc 100", "kfree {2}", "kmalloc 60", "heap"],
    "objects": ["kmalloc 300000", "kmalloc 24", "kmalloc 20", "heap", "kfree {2}", "kfree {2}"],
    "leaks": ["leaks", "leaks mark", "frame alloc", "map 0xa0000000 {3}", "leaks diff",
              "unmap 0xa0000000", "frame free {3}", "leaks diff"],
    "starve": ["starve 3 kmalloc 100000", "starve 1 forever frame alloc",
               "starve 1 map 0xa0000000 0xb8000 ro", "starve 2", "sleep 1 &", "starve"],
    "refused": ["translate 0", "poke 0x100000 0", "map 0xa0000000 0x100000",
                "map 0x18000000 0xb8000", "kfree 0x18000010", "kmalloc 4000000000"],
    "background": ["sleep 60 &", "threads", "kill sleep", "kill reaper", "echo 'two  words' three"],
    "irq": ["irq"],
    "cpu": ["cpu"],
    "pci": ["pci"],
    "usb": ["usb"],
    "diag": ["diag"],
    "bench": ["bench"],
    "crash": ["crash"],
    "who": ["kmalloc 100", "kmalloc 100", "kfree {1}", "who {1}", "who {2}", "who 100000",
            "who 18000008", "who 39005ffc", "who 40000000", "who 0"],
}
# A machine without an i8042, whose keyboard is behind a hub.
USB_ONLY = {"machine": "q35,i8042=off", "extra": [
    "-device", "qemu-xhci,id=usb", "-device", "usb-hub,bus=usb.0,port=1",
    "-device", "usb-kbd,bus=usb.0,port=1.2"]}
# Sessions that do not take place on the usual machine.
MACHINES = {"usb": USB_ONLY, "diag": {**USB_ONLY, "firmware": "uefi", "cpu": "core2duo"},
            "bench": {"extra": ["-icount", "shift=3,sleep=off"]}}
QR_CODE = re.compile("[\u2580-\u259f\u2800-\u28ff]")     # its lines are left out
PANICS = {"null-write": "crash null-write", "divide": "crash divide",
          "stack-overflow": "crash stack-overflow"}
# Of these reports registers and log are left out.
SHORT_PANICS = {"short-" + kind: "crash " + kind for kind in [
    "null-read", "null-call", "unmapped", "text-write", "rodata-write", "invalid-opcode",
    "undefined-behaviour", "stack-overflow", "interrupt-overflow", "interrupt-read",
    "stack-smash", "double-free", "invalid-free", "heap-overflow", "heap-underflow", "assert"]}
LAST_WORDS = "The machine is halted."

# What the pictures show: the machine, and what is typed there after the boot.
SCENES = {
    "shell": ({}, ["meminfo", "heap_test", "frame alloc", "map 0xa0000000 {3}",
                   "poke 0xa0000000 0xc0ffee", "peek {3}"]),
    "uefi": ({**USB_ONLY, "firmware": "uefi"}, ["usb"]),
    "diag": (MACHINES["diag"], ["clear", "diag"]),
}
MARGIN = 12             # pixels around it, in the colour of its last

# What gdb is told at the kernel's first breakpoint, as `make debug` sets it.
GDB = ["continue", "break pmm_alloc_frame_high_for", "continue", "backtrace 3", "finish",
       "print frames.allocated"]


def type_in(machine, lines):
    """Runs commands; returns what a person would see, line by line."""
    seen, answers = [], [""]
    for line in lines:
        line = line.format(*answers)
        output = machine.command(line)
        answers.append(output[0].split(" ")[0] if output else "")
        seen += [PROMPT + line, *[said for said in output if not QR_CODE.search(said)]]
    return seen


def panic(machine, line):
    """The same for a command that ends the machine."""
    at = len(machine.received)
    machine.send(line + "\r")
    machine.wait_for(LAST_WORDS)
    said = machine.received[at:].decode().replace("\r\n", "\n")
    return (PROMPT + said).rstrip("\n").split("\n")


def shortened(report):
    """A report without registers and log."""
    log = report.index("the log's last lines:")
    return [line for line in report[:log] if not re.match("(eax|esi|eip|cr0) 0x", line)]


def gdb(commands, *before):
    """What gdb says to commands, after others that are not shown."""
    words = ["set width 100", *before, "set trace-commands on", *commands]
    done = subprocess.run(["gdb", "-q", "-nx", "-batch", images.BUILD / "roninos.elf",
                           *[f"-ex={word}" for word in words]],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    said = done.stdout[done.stdout.index("+" + commands[0]):]
    said = re.sub(r"^\[Inferior .*\n", "", said, flags=re.M)     # its farewell
    return re.sub(r"^\+", "(gdb) ", said, flags=re.M).rstrip().split("\n")


def watch_keys():
    """The command `keys` while somebody types."""
    with Machine(**USB_ONLY) as machine:
        machine.prompt()
        at = len(machine.received)
        machine.send("keys\r")
        machine.wait_for("end this.")
        machine.press("a")
        machine.wait_for("released")
        machine.send("\x03")
        machine.prompt()
        said = machine.received[at:].decode().replace("\r\n", "\n").split("^C")[0]
        return (PROMPT + said).rstrip("\n").split("\n")


def debug():
    """A session with gdb from the kernel's first instruction in C."""
    with tempfile.TemporaryDirectory() as folder:
        wire = f"{folder}/gdb"
        with Machine(extra=["-S", "-gdb", f"unix:{wire},server=on,wait=off"]):
            return gdb(GDB, "set architecture i386", f"target remote {wire}", "hbreak kernel_main")


def source_of(panicked):
    """gdb on the address where a panic happened."""
    address = next(line.split()[1] for line in panicked if line.startswith("#0 "))
    return gdb([f"list *{address}"])


def record():
    """All sessions, by name, as lists of lines."""
    found = {}
    for name, lines in {**SESSIONS, **PANICS, **SHORT_PANICS}.items():
        with Machine(**MACHINES.get(name, {})) as machine:
            boot = machine.prompt()
            found.setdefault("boot", boot)
            found[name] = type_in(machine, lines) if name in SESSIONS else panic(machine, lines)
            if name in SHORT_PANICS:
                found[name] = shortened(found[name])
    found["keys"] = watch_keys()
    return {**found, "gdb": debug(), "source": source_of(found["divide"])}


def put_into(page, found):
    """Replaces the sessions in a page; returns the names that it asks for."""
    def session(match):
        name = match[2]
        if name not in found:
            sys.exit(f"{page.name} asks for the session {name!r}, which there is not")
        body = "\n".join(line.rstrip() for line in found[name])
        return f"{match[1]}```text\n{body}\n```\n"

    text = page.read_text()
    pattern = r"(<!-- session: (\S+) -->\n)```text\n.*?```\n"
    page.write_text(re.sub(pattern, session, text, flags=re.S))
    return set(re.findall(r"<!-- session: (\S+) -->", text))


def to_png(ppm):
    """A PNG of a PPM as QEMU writes it (eight bits a colour), with the margin around it."""
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", ppm)
    length = 3 * int(head[1])
    pixels = ppm[head.end():]
    side = pixels[-3:] * MARGIN
    rows = [side + pixels[at:at + length] + side for at in range(0, length * int(head[2]), length)]
    blank = [pixels[-3:] * (len(rows[0]) // 3)] * MARGIN
    rows = [b"\0" + row for row in blank + rows + blank]   # each row says: unfiltered
    size = struct.pack(">2I5B", int(head[1]) + 2 * MARGIN, len(rows), 8, 2, 0, 0, 0)

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) +
            chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b""))


def photograph(options, lines):
    """The screen of such a machine after its boot and these commands, as a PNG."""
    with Machine(**options) as machine:
        machine.prompt()
        if "clear" in lines:        # the prompt after it stands behind no line break
            machine.send("clear\r")
            machine.wait_for(PROMPT)
        type_in(machine, [line for line in lines if line != "clear"])
        machine.wait_screen(lambda shown: PROMPT.rstrip() in shown)
        return to_png(machine.photograph())


def with_patience(action):
    """Tries again when a machine did not do what was waited for."""
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except MachineError:
            if attempt + 1 == ATTEMPTS:
                raise


def main():
    found = with_patience(record)
    for name, lines in found.items():
        print(f"---- {name} ----", *lines, "", sep="\n")
    used = set().union(*[put_into(page, found) for page in PAGES])
    PICTURES.mkdir(exist_ok=True)
    for name, scene in SCENES.items():
        PICTURES.joinpath(f"{name}.png").write_bytes(with_patience(lambda: photograph(*scene)))
    print(f"{len(used)} sessions in {len(PAGES)} pages, and {len(SCENES)} pictures")


if __name__ == "__main__":
    main()
