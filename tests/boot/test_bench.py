"""The command `bench`, and the CPU time of threads."""
import re
import sys
from pathlib import Path

import pytest

import images
from memory_model import meminfo, taken

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
import kernel as bench  # noqa: E402

QUICK = pytest.mark.quick
FULL = pytest.mark.full
ICOUNT = ["-icount", "shift=3,sleep=off"]
OPERATIONS = [f"{what} {size}" for size in (32, 256, 1024, 16384) for what in ("kmalloc", "kfree")] + [
    "frame alloc", "frame free", "map page", "unmap page", "map 64 pages", "unmap 64 pages",
    "page fault", "interrupt", "interrupt entry", "interrupt exit", "yield to a thread",
    "mutex lock+unlock", "spinlock lock+unlock"]


# ---- The command -------------------------------------------------------------------------------

@QUICK
def test_bench_measures_everything_and_keeps_nothing(boot):
    machine = boot()
    before, threads = meminfo(machine), len(machine.command("threads"))
    counted = bench.ticks(machine.command("bench"))
    assert list(counted) == OPERATIONS
    assert all(0 < least <= median < 100_000_000 for least, median in counted.values())
    assert taken(meminfo(machine)) == taken(before)
    assert len(machine.command("threads")) == threads
    assert not re.search("bench", "".join(machine.command("irq")))


@FULL
def test_counts_are_the_same_in_every_run():
    """A switch takes at most 100 instructions, a lock and its release at most 21; no variant need."""
    counted = bench.figures(images.BUILD)
    again = bench.figures(images.BUILD)
    # How full the quarantine is depends on when the command was typed.
    assert again == (pytest.approx(counted, rel=0.01) if images.CHECKING else counted)
    assert list(counted) == OPERATIONS
    if images.ORDINARY:
        assert counted["yield to a thread"] <= 100
        assert counted["spinlock lock+unlock"] <= 21
    parts = counted["interrupt entry"] + counted["interrupt exit"]
    assert parts == pytest.approx(counted["interrupt"], abs=8)


@QUICK
def test_bench_without_a_tsc(boot):
    machine = boot(cpu="486")
    for words in ("", " stretches"):
        assert machine.one_line("bench" + words) == "error: this CPU has no TSC to measure with"


@QUICK
def test_bench_with_too_little_memory(boot):
    machine = boot(images.make_image("console=serial"), memory=images.SMALLEST)
    machine.command("bench")
    before = taken(meminfo(machine))
    machine.command("bench")
    assert taken(meminfo(machine)) == before


@QUICK
def test_bench_refuses_other_words(machine):
    for wrong in ("x", "stretches x", "32"):
        assert machine.one_line(f"bench {wrong}") == "usage: bench [stretches]"
    assert machine.one_line("bench stretches").startswith("error: this kernel does not record them")


# ---- CPU time ----------------------------------------------------------------------------------


def cpu_times(machine):
    """Thread names and their seconds on the CPU."""
    rows = [line.split() for line in machine.command("threads")[1:]]
    return {row[1]: float(row[3]) for row in rows}


def uptime(machine):
    return float(re.match(r"up 0:00:(\d\d\.\d\d)$", machine.one_line("uptime"))[1])


@pytest.mark.parametrize("cpu, word", [
    pytest.param(None, "", marks=QUICK),
    pytest.param("486", "", marks=QUICK),
    pytest.param("486", "pit=off", marks=FULL),
    pytest.param("pentium", "pit=off", marks=FULL)])
def test_cpu_times_add_up_to_the_time_that_passed(boot, cpu, word):
    """With and without a TSC. Under -icount time is exact."""
    machine = boot(images.make_image(f"console=serial {word}"), cpu=cpu,
                   extra=ICOUNT)
    # Time goes on between two commands, by as much as the host takes: each reading has one of the
    # clock before it and one behind.
    first, before, second = uptime(machine), cpu_times(machine), uptime(machine)
    assert machine.command("sleep 3") == []
    third, after, fourth = uptime(machine), cpu_times(machine), uptime(machine)
    least, most = third - second - 0.1, fourth - first + 0.1
    assert least <= sum(after.values()) - sum(before.values()) <= most
    assert least <= after["idle"] - before["idle"] <= most
