"""What every variant of the image must do: another compiler, no optimisation, more checks.

`make test` runs these with the checking build, `make test-variants` and `make test-all` with each
variant; with the image that people get they are two more tests of `make test-all`.
"""
import re

import pytest

import images

DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
PASSED = 1              # what isa-debug-exit makes of the 0 that the kernel writes
CPUS = ["max", "qemu32"]        # with RDRAND, SMEP, SMAP and UMIP; with none of them


@pytest.mark.full
@pytest.mark.variant
@pytest.mark.parametrize("cpu", CPUS)
def test_selftest(start, cpu):
    machine = start(images.make_image("selftest"), cpu=cpu, extra=DEBUG_EXIT)
    totals = machine.wait_for(re.compile(rb"(\d+) passed, (\d+) failed\r\n"), timeout=300)
    assert int(totals[1]) > 0 and int(totals[2]) == 0
    assert machine.wait_exit() == PASSED
