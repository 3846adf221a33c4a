"""The command `bench`, and the CPU time of threads."""
import re

import pytest

import images


def cpu_times(machine):
    """Thread names and their seconds on the CPU."""
    rows = [line.split() for line in machine.command("threads")[1:]]
    return {row[1]: float(row[3]) for row in rows}


def uptime(machine):
    return float(re.match(r"up 0:00:(\d\d\.\d\d)$", machine.one_line("uptime"))[1])


@pytest.mark.quick
@pytest.mark.parametrize("cpu, word", [(None, ""), ("486", ""), ("486", "pit=off"),
                                       ("pentium", "pit=off")])
def test_cpu_times_add_up_to_the_time_that_passed(boot, cpu, word):
    """With and without a TSC. Under -icount time is exact."""
    machine = boot(images.make_image(f"console=serial {word}"), cpu=cpu,
                   extra=["-icount", "shift=3,sleep=off"])
    before, start = cpu_times(machine), uptime(machine)
    assert machine.command("sleep 3") == []
    after, end = cpu_times(machine), uptime(machine)
    assert sum(after.values()) - sum(before.values()) == pytest.approx(end - start, abs=0.1)
    assert after["idle"] - before["idle"] == pytest.approx(end - start, abs=0.1)
