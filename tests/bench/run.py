#!/usr/bin/env python3
"""Counts the instructions of the memory manager's operations and prints them as tables.

usage: run.py PROGRAM

PROGRAM is built from memory.c beside this file, which says what each operation does. It runs under
callgrind twice for each figure: with the code that is measured, and with functions that do nothing
in its place. The difference over the number of operations is the figure. It is the same on a fast
machine and on a slow one.
"""
import os
import re
import subprocess
import sys

CALLGRIND = ["valgrind", "--tool=callgrind", "--toggle-collect=measured",
             "--callgrind-out-file=/dev/null"]

ABOUT = """\
Counted: instructions that one operation executes, in the kernel's own sources built as 32-bit
host code; loop and calls are subtracted, locks, TLB and mapping of pages cost next to nothing.
Ratio: to the first line of the table."""

LIVE = [(16, "16"), (256, "256"), (4096, "4096")]
ENTRIES = [(8, "8"), (64, "64"), (512, "512")]
OCCUPIED = [(0, "0 %"), (50, "50 %"), (99, "99 %"), (100, "all but the last")]


def with_flat(operation):
    """Each line of OCCUPIED, and behind it the same in one flat bitmap."""
    return [line for size, label in OCCUPIED
            for line in ((size, label), (size, "  flat bitmap", operation))]


# Title, operation, what distinguishes the lines, and the lines: size, what to call it, and the
# operation if it is another.
TABLES = [
    ("kfree + kmalloc: a random block is replaced by one of 16 to 1024 bytes",
     "heap-pair", "live blocks", LIVE),
    ("kmalloc + kfree: as many holes as blocks, all of them too small",
     "heap-search", "live blocks", LIVE),
    ("krealloc in place: a random block grows into the hole behind it, or gives it back",
     "heap-realloc", "live blocks", LIVE),
    ("frames_free + frames_alloc: a random frame, then the lowest free one",
     "frames", "occupied", [(0, "0 %"), (50, "50 %"), (99, "99 %")]),
    ("frames_alloc: what is free below the occupied part lies anywhere in it",
     "frame-alloc", "occupied", with_flat("flat-alloc")),
    ("frames_free: a frame anywhere in the occupied part",
     "frame-free", "occupied", with_flat("flat-free")),
    ("frames_alloc_run: 16 frames in a row at a multiple of 16",
     "frame-run", "free", [(0, "all"), (1, "every other"), (15, "15, not 15, ...")]),
    ("map_page + unmap_page",
     "map", "page table", [(1, "stays"), (0, "comes and goes")]),
    ("map_range + unmap_range, a page",
     "map-range", "pages", [(1, "1"), (32, "32"), (1024, "1024")]),
    ("translate",
     "translate", "address", [(1, "mapped"), (0, "without a table")]),
    ("memory map: an entry read and checked",
     "memmap-read", "entries", ENTRIES),
    ("memory map: an entry of 16 frames entered into the bitmap, both passes",
     "memmap-enter", "entries", ENTRIES),
]


class BenchError(Exception):
    """A count that could not be taken."""


def count(program, operation, size, *options):
    """Returns the instructions inside measured() and the number of operations performed there."""
    command = [*CALLGRIND, program, operation, str(size), *options]
    # Symbols are bound before the start, so that no lookup is counted.
    environment = {**os.environ, "LD_BIND_NOW": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              errors="replace", timeout=120, check=False)
    except FileNotFoundError:
        raise BenchError("valgrind is not installed: `make deps` installs it") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"no end after 120 s: {' '.join(command)}") from None

    collected = re.search(r"Collected : (\d+)", done.stderr)
    operations = re.search(r"^ops (\d+)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not collected or not operations or int(collected[1]) == 0:
        raise BenchError(f"no count from: {' '.join(command)}\n"
                         f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return int(collected[1]), int(operations[1])


def instructions(program, operation, size):
    whole, operations = count(program, operation, size)
    harness, _ = count(program, operation, size, "--null")
    return (whole - harness) / operations


def print_table(program, title, operation, column, lines):
    print(f"\n{title}\n  {column:<18}{'instructions':>12}{'ratio':>9}")
    first = None
    for size, label, *other in lines:
        figure = instructions(program, other[0] if other else operation, size)
        first = first or figure
        print(f"  {label:<18}{figure:>12.1f}{figure / first:>9.2f}", flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: run.py PROGRAM")
    print(ABOUT)
    try:
        for table in TABLES:
            print_table(sys.argv[1], *table)
    except BenchError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
