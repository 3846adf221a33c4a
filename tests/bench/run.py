#!/usr/bin/env python3
"""Measures the memory manager and prints tables; says at the end what has become slower.

usage: run.py [--write] [--first N] BUILD TRACES...

BUILD is the folder of what is built. The tables of single operations are counted with its
bench/memory, whose source beside this file says what each does. It runs under callgrind twice for
each figure: with the code that is measured, and with functions that do nothing in its place. The
difference over the number of operations is the figure. It is the same on a fast machine and on a
slow one. The heap's tables, in replay.py, come from traces in the folders TRACES, those of the
running kernel, in kernel.py, from BUILD's images.

Instruction counts are compared with baseline.txt beside this file; --write renews them there.
--first replays no more than that many operations of each trace, for a quick look.
"""
import argparse
import os
import sys

import kernel
import replay
from counting import Baseline, BenchError, compilers, count

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


counted = {}    # what instructions() has returned, by operation and size


def instructions(program, operation, size):
    command = [program, operation, str(size)]
    whole, operations = count("measured", command)
    harness, _ = count("measured", [*command, "--null"])
    counted[f"{operation} {size}"] = figure = (whole - harness) / operations
    return figure


def print_table(program, title, operation, column, lines):
    print(f"\n{title}\n  {column:<18}{'instructions':>12}{'ratio':>9}")
    first = None
    for size, label, *other in lines:
        figure = instructions(program, other[0] if other else operation, size)
        first = first or figure
        print(f"  {label:<18}{figure:>12.1f}{figure / first:>9.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--first", type=int)
    parser.add_argument("build")
    parser.add_argument("traces", nargs="+")
    options = parser.parse_args()
    if options.write and options.first:
        parser.error("--write keeps figures of whole traces only")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.txt")

    try:
        baseline = Baseline(path, compilers(options.build))
        print(ABOUT)
        for table in TABLES:
            print_table(f"{options.build}/bench/memory", *table)
        for name, figure in counted.items():
            baseline.add(name, figure)
        replay.measure(options.build, options.traces, baseline, options.first)
        for name, figure in kernel.measure(options.build).items():
            baseline.add(f"kernel {name}", figure)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    print("", *baseline.compare(), sep="\n")
    if options.write:
        baseline.write()


if __name__ == "__main__":
    main()
