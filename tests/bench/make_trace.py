#!/usr/bin/env python3
"""Makes traces for heap-replay: from a rule and a seed, or from what record.c has recorded.

usage: make_trace.py OUT KIND [SEED [OPERATIONS]]
       make_trace.py OUT record RECORDER COMMAND...

KIND is one of
  lifo      small blocks come and go in the order of a stack
  mix       a kernel's sizes, most of them small, replaced at random
  comb      every other block of many is freed, then larger ones are asked for
  segments  free blocks as small as can be, many beside each other, and requests just above them
"record" runs the command under the RECORDER, which is built from record.c, and takes the largest
record of its processes.
"""
import array
import glob
import os
import random
import subprocess
import sys
import tempfile

MAGIC = 0x54524143
LARGEST = 64 << 20   # recorded requests above are left out: no kernel heap is asked for them


class Trace:
    """Operations in the making: slots are reused, the one freed last first."""

    def __init__(self):
        self.words = array.array("I")
        self.sizes = []          # of each slot's block; 0: empty
        self.empty = []
        self.live = self.peak = 0

    def __len__(self):
        return len(self.words) // 2

    def alloc(self, size):
        if self.empty:
            slot = self.empty.pop()
        else:
            slot = len(self.sizes)
            self.sizes.append(0)
        self.sizes[slot] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        self.words.extend((slot, size))
        return slot

    def free(self, slot):
        self.live -= self.sizes[slot]
        self.sizes[slot] = 0
        self.empty.append(slot)
        self.words.extend((slot, 0))

    def write(self, path):
        header = array.array("I", (MAGIC, len(self), len(self.sizes), self.peak))
        words = self.words
        if sys.byteorder == "big":
            header.byteswap()
            words.byteswap()
        with open(path, "wb") as file:
            header.tofile(file)
            words.tofile(file)


def take_random(rng, blocks):
    """Takes any block out of a list, whose order does not matter."""
    i = rng.randrange(len(blocks))
    blocks[i], blocks[-1] = blocks[-1], blocks[i]
    return blocks.pop()


def make_lifo(trace, rng, operations):
    """A stack of about a thousand blocks that is pushed and popped in short runs."""
    stack = []
    while len(trace) < operations:
        run = rng.randint(1, 40)
        if len(stack) < 1000 or (len(stack) < 1100 and rng.random() < 0.5):
            stack += [trace.alloc(rng.randint(12, 128)) for _ in range(run)]
        else:
            for _ in range(min(run, len(stack))):
                trace.free(stack.pop())


KERNEL_SIZES = [(70, 16, 128), (9, 129, 512), (11, 513, 1024), (9, 1025, 4096), (1, 4097, 65536)]


def kernel_size(rng):
    weights = [weight for weight, _, _ in KERNEL_SIZES]
    _, low, high = rng.choices(KERNEL_SIZES, weights)[0]
    return rng.randint(low, high)


def make_mix(trace, rng, operations):
    """A kernel's life: the number of live blocks drifts, which one goes is chance."""
    live, goal = [], 6000
    while len(trace) < operations:
        if len(trace) % 50000 < 2:
            goal = rng.randint(2000, 10000)
        if live and rng.random() < (0.55 if len(live) > goal else 0.45):
            trace.free(take_random(rng, live))
        else:
            live.append(trace.alloc(kernel_size(rng)))


def make_comb(trace, rng, operations):
    """Holes of all small sizes that no later request fits well; then they are used at random."""
    count = operations // 5
    blocks = [trace.alloc(rng.randint(24, 128)) for _ in range(count)]
    kept = blocks[1::2]
    for slot in blocks[::2]:
        trace.free(slot)
    kept += [trace.alloc(rng.randint(100, 1024)) for _ in range(count // 10)]
    while len(trace) < operations:
        trace.free(take_random(rng, kept))
        kept.append(trace.alloc(rng.randint(24, 160)))


def make_segments(trace, rng, operations):
    """
    Rows of the smallest blocks, every other one free, end in one larger hole: a list that is
    searched within a part of the window is as long there as it can be.
    """
    kept, holes = [], []
    while len(trace) < operations // 3:
        for _ in range(rng.choice((31, 62, 63, 126, 127))):
            kept.append(trace.alloc(rng.randint(1, 12)))
            holes.append(trace.alloc(rng.randint(1, 12)))
        holes.append(trace.alloc(rng.choice((40, 72, 136, 300))))
        kept.append(trace.alloc(12))
    for slot in holes:
        trace.free(slot)
    used = []
    while len(trace) < operations:
        if used and rng.random() < 0.5:
            trace.free(take_random(rng, used))
        else:
            used.append(trace.alloc(rng.choice((13, 20, 21, 28, 60, 124, 290))))


KINDS = {"lifo": (make_lifo, 1000000), "mix": (make_mix, 1000000), "comb": (make_comb, 750000),
         "segments": (make_segments, 300000)}


def made(kind, seed=1, operations=None):
    make, usual = KINDS[kind]
    trace = Trace()
    make(trace, random.Random(seed), operations or usual)
    return trace


def converted(path):
    """A recorder's pairs of address and size as a trace."""
    words = array.array("Q")
    with open(path, "rb") as file:
        words.frombytes(file.read(os.path.getsize(path) // 16 * 16))
    trace, slots = Trace(), {}
    for address, size in zip(words[::2], words[1::2]):
        slot = slots.pop(address, None)
        if slot is not None:
            trace.free(slot)      # also when an address comes back without its free having been seen
        if 0 < size <= LARGEST:
            slots[address] = trace.alloc(size)
    return trace


def recorded(recorder, command):
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LD_PRELOAD": os.path.abspath(recorder),
                       "RECORD": os.path.join(folder, "record"), "PYTHONMALLOC": "malloc",
                       "PYTHONHASHSEED": "0"}
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, check=True)
        records = glob.glob(os.path.join(folder, "record.*"))
        return converted(max(records, key=os.path.getsize))


def main():
    words = sys.argv[1:]
    if len(words) > 3 and words[1] == "record":
        trace = recorded(words[2], words[3:])
    elif 2 <= len(words) <= 4 and words[1] in KINDS:
        trace = made(words[1], *map(int, words[2:]))
    else:
        sys.exit(__doc__[__doc__.index("usage"):].strip())
    trace.write(words[0])


if __name__ == "__main__":
    main()
