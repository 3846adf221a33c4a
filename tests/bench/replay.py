"""The heap and its peers on traces: instructions, time, memory, and worst operations.

A trace is replayed by build/host/heap-replay, always in the same loop: on the heap, on the naive
list that is its model, and on the malloc of the C library and of others that are preloaded.
"""
import glob
import os
import re
from concurrent.futures import ThreadPoolExecutor

from counting import BenchError, count, number, run

ROUNDS = 7          # of which the fastest counts: others only had more disturbance
SAMPLES = 1000
NAIVE_FIRST = 20000

LIBRARIES = "/usr/lib/i386-linux-gnu/"

# What a trace is replayed on: name, options, library.
HEAPS = [("heap", [], None), ("no small", ["--no-small"], None)]
PEERS = [("glibc", ["--malloc"], None),
         ("jemalloc", ["--malloc"], "libjemalloc.so.2"),
         ("mimalloc", ["--malloc"], "libmimalloc.so.2")]

ABOUT = f"""
The heap and its peers on traces. `no small` is first fit alone. The peers are Debian's, 32-bit.
  instructions  of an operation, by callgrind; loop and calls are subtracted
  ns            of an operation, the fastest of {ROUNDS} rounds by turns; the loop is subtracted. What
                the system does for pages is in it, but the heap's window opens 64 at a time
  footprint     over the highest sum of live requests. Of the heap: the highest byte of the window
                ever used, and index and tables. Of the peers: pages written to, all of the requests
                written, the most of {SAMPLES} samples
  always on     instructions with a guard behind each allocation, and with all else that the
                kernel has always on: UBSan's traps and the stack protector
  first {NAIVE_FIRST}   operations only, in instructions: the naive list of tests/host/heap_model.c would take
                hours under callgrind
  worst         single operation of the heap, in instructions, its calls for pages left out; behind
                the bar of those that map or unmap pages
Behind each figure its ratio to the first of the line."""


def library(name):
    if name is None:
        return None
    path = LIBRARIES + name
    if not os.path.exists(path):
        raise BenchError(f"{path} is not there: `make deps` installs it")
    return path


def print_always_on(build, found):
    """What guards cost, and with them what else is always on in the kernel."""
    print_head("always on", ["heap", "guarded", "and UBSan"])
    for trace, path in found.items():
        row = [Replay(f"{build}/host/{program}", path).instructions([("", options, None)])[0]
               for program, options in (("heap-replay", []), ("heap-replay", ["--guarded"]),
                                        ("heap-replay-checked", ["--guarded"]))]
        print_row(trace, row)


def traces(folders):
    """The traces of all folders by their names; the first folder that has one counts."""
    found = {}
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "*.tr")) +
                           glob.glob(os.path.join(folder, "*.tr.xz"))):
            found.setdefault(os.path.basename(path).split(".")[0], path)
    if not found:
        raise BenchError(f"no traces in {' '.join(folders)}")
    return found


class Replay:
    """heap-replay on one trace."""

    def __init__(self, program, path, first=None):
        self.command = [program, *(["--first", str(first)] if first else [])]
        self.path = path

    def text(self, options, name=None):
        return run([*self.command, *options, self.path], library(name)).stdout

    def counted(self, options, name=None):
        return count("replay", [*self.command, *options, self.path], library(name))

    def instructions(self, heaps):
        """Per operation, for each of `heaps`."""
        wanted = [(["--null"], None)] + [(options, name) for _, options, name in heaps]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = list(pool.map(lambda heap: self.counted(*heap), wanted))
        null, operations = counts[0]
        return [(whole - null) / operations for whole, _ in counts[1:]]

    def times(self, heaps):
        """Nanoseconds per operation, for each of `heaps`: one after the other, round by round."""
        wanted = [(["--null"], None)] + [(options, name) for _, options, name in heaps]
        best = [float("inf")] * len(wanted)
        for _ in range(ROUNDS):
            for i, (options, name) in enumerate(wanted):
                text = self.text([*options, "--time"], name)
                best[i] = min(best[i], number(text, "ns") / number(text, "ops"))
        return [ns - best[0] for ns in best[1:]]

    def footprints(self, heaps):
        """Over the peak of live bytes, for each of `heaps`."""
        found = []
        for _, options, name in heaps:
            text = self.text(options, name)
            if "--malloc" in options:
                lines = self.text([*options, "--samples", str(SAMPLES)], name).splitlines()
                most = max(int(line.split()[2]) for line in lines)
            else:
                most = number(text, "footprint")
            found.append(most / number(text, "peak_live"))
        return found

    def name(self, trace):
        """One that no other trace of this name has, for the baseline."""
        text = self.text(["--null"])
        return f"{trace}/{number(text, 'ops')}/{number(text, 'peak_live')}"


def print_head(title, names):
    print(f"\n{title:<18}" + "".join(f"{name:>17}" for name in names))


def print_row(trace, figures, form="9.1f"):
    cells = [f"{figure:{form}}{figure / figures[0] if figures[0] else 0:8.2f}"
             for figure in figures]
    print(f"  {trace:<16}" + "".join(cells), flush=True)


def worst(program, path, options):
    """{alloc, free, with_pages: instructions} of the longest single operations."""
    text = run([program, *options, path]).stdout
    return {name: int(most) for name, most in re.findall(r"^(\w+) (\d+) operation", text, re.M)}


def print_worst(program, found, baseline, replays):
    columns = [(f"{name} {kind}", options, kind) for name, options, _ in HEAPS
               for kind in ("alloc", "free")]
    print_head("worst", [name for name, _, _ in columns] + [" |  with pages"])
    for trace, path in found.items():
        longest = {name: worst(program, path, options) for name, options, _ in HEAPS}
        row = [longest[name][kind] for name, _, _ in HEAPS for kind in ("alloc", "free")]
        pages = [longest[name]["with_pages"] for name, _, _ in HEAPS]
        print(f"  {trace:<16}" + "".join(f"{figure:17}" for figure in row) +
              f" | {pages[0]:6}{pages[1]:6}", flush=True)
        for (name, _, _), figure in zip(columns, row):
            baseline.add(f"worst {name} {replays[trace]}", figure)


def measure(build, folders, baseline, first=None):
    """Prints all tables of the traces in `folders`; instruction counts go into `baseline`."""
    program, stepper = f"{build}/host/heap-replay", f"{build}/host/heap-worst"
    found = traces(folders)
    replays = {trace: Replay(program, path, first) for trace, path in found.items()}
    names = {trace: replay.name(trace) for trace, replay in replays.items()}
    heaps = HEAPS + PEERS
    columns = [name for name, _, _ in heaps]

    print(ABOUT)
    print_head("instructions", columns)
    for trace, replay in replays.items():
        figures = replay.instructions(heaps)
        print_row(trace, figures)
        for (name, _, _), figure in list(zip(heaps, figures))[:len(HEAPS)]:
            baseline.add(f"{name} {names[trace]}", figure)

    if not first:
        print_always_on(build, found)

    print_head(f"first {NAIVE_FIRST}", ["no small", "naive list"])
    for trace, path in found.items():
        print_row(trace, Replay(program, path, NAIVE_FIRST).instructions(
            [HEAPS[1], ("naive list", ["--model", "--no-small"], None)]))

    print_head("ns", columns)
    for trace, replay in replays.items():
        print_row(trace, replay.times(heaps))

    print_head("footprint", columns)
    for trace, replay in replays.items():
        print_row(trace, replay.footprints(heaps), "9.3f")

    if not first:
        print_worst(stepper, found, baseline, names)
