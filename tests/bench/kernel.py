#!/usr/bin/env python3
"""Counts the instructions of the running kernel's operations, and its stretches with interrupts off.

usage: kernel.py [BUILD]

BUILD is the folder of the built kernel, `build` unless given. The image boots in QEMU under -icount,
where the TSC advances by 2^SHIFT for each executed instruction, whatever the host does; the commands
`bench` and `bench stretches` say what operations took. The latter needs a kernel built by
`make STRETCHES=1 B=BUILD/stretches iso`.

Of `bench` the least figure is taken: it is the same in every run. The stretches are not: they depend
on where in them an interrupt or a typed byte comes, which the host's clock decides.
"""
import os
import re
import sys
from pathlib import Path

from counting import BenchError

ROOT = Path(__file__).resolve().parents[2]
SHIFT = 3
ICOUNT = ["-icount", f"shift={SHIFT},sleep=off"]

# The peer's figures were counted elsewhere, on lk's own kernel under the same QEMU.
PEERS = {"yield to a thread": ("lk", 718), "spinlock lock+unlock": ("lk", 21)}

SHOWN = 8       # stretches of each work
USB_KEYBOARD = ["-device", "qemu-xhci", "-device", "usb-kbd"]
# What runs before the stretches are looked at: its name, and the commands.
WORK = [
    ("boot, with a USB keyboard", []),
    ("commands that show", ["help", "meminfo", "memmap", "heap", "threads", "irq", "pci", "usb",
                            "cpu", "timer", "dmesg", "diag", "modules"]),
    ("the laboratory", ["frame alloc", "map a0000000 200000", "translate a0000000",
                        "peek a0000000 64", "unmap a0000000", "kmalloc 100000"]),
    ("sleep 2", ["sleep 2"]),
    ("heap_test", ["heap_test"]),
]


def machine_class(build):
    """The boot tests' class, which looks for fonts and images in the build folder."""
    os.environ.setdefault("RONINOS_BUILD", str(build))
    sys.path.insert(0, str(ROOT / "tests" / "boot"))
    from machine import Machine     # pylint: disable=import-outside-toplevel,import-error
    return Machine


def ticks(lines):
    """The least and the median of each line of `bench`."""
    rows = [re.fullmatch(r"(\S.*?) +(\d+) +(\d+)", line) for line in lines[1:]]
    if not rows or not all(rows):
        raise BenchError("the kernel's command bench says:\n" + "\n".join(lines))
    return {row[1]: (int(row[2]), int(row[3])) for row in rows}


def figures(build=ROOT / "build"):
    """Instructions of each operation, by its name."""
    with machine_class(build)(Path(build) / "roninos.iso", extra=ICOUNT) as machine:
        machine.prompt()
        return {name: least / (1 << SHIFT)
                for name, (least, _) in ticks(machine.command("bench")).items()}


def stretches(build=ROOT / "build" / "stretches"):
    """For each work, the longest stretches: instructions, and where."""
    with machine_class(build)(Path(build) / "roninos.iso", extra=ICOUNT + USB_KEYBOARD) as machine:
        machine.prompt()
        found = {}
        for name, commands in WORK:
            for command in commands:
                machine.command(command)
            lines = [line.split(maxsplit=1) for line in machine.command("bench stretches")]
            found[name] = [(int(length) / (1 << SHIFT), where) for length, where in lines]
        return found


def print_figures(counted):
    print("\nIn the kernel, under -icount: instructions of one operation, the least of 101 rounds")
    for name, figure in counted.items():
        peer = "{:>9}{:>6}".format(*PEERS[name]) if name in PEERS else ""
        print(f"  {name:<24}{figure:>10.1f}{peer}")


def print_stretches(found):
    print("\nIn the kernel, under -icount: the longest stretches with interrupts off, in instructions")
    for name, longest in found.items():
        print(f"  {name}")
        for length, where in longest[:SHOWN]:
            print(f"    {length:>10.0f} {where}")


def measure(build):
    """Prints both tables, the second if its kernel is there. Returns the figures."""
    build = Path(build).resolve()
    try:
        counted = figures(build)
        print_figures(counted)
        if (build / "stretches" / "roninos.iso").exists():
            print_stretches(stretches(build / "stretches"))
    except AssertionError as error:     # a machine that does not start or answer
        raise BenchError(f"the kernel in QEMU: {error}") from None
    return counted


def main():
    if len(sys.argv) > 2:
        sys.exit("usage: kernel.py [BUILD]")
    try:
        measure(sys.argv[1] if len(sys.argv) == 2 else ROOT / "build")
    except BenchError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
