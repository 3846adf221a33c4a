"""The checking build (make CHECK=1). test_crash.py has its reports."""
import re

import pytest

from images import CHECKING
from machine import Machine

checking = pytest.mark.skipif(not CHECKING, reason="needs the checking build: make CHECK=1 test")


@checking
@pytest.mark.full
@pytest.mark.variant
def test_red_zones_are_looked_at_by_heap_check(machine):
    assert re.fullmatch("the heap is sound: .* in quarantine .*; all red zones are whole",
                        machine.one_line("heap check"))


@checking
@pytest.mark.full
@pytest.mark.variant
def test_no_red_zone_is_written_before_there_is_a_shadow(boot, tmp_path):
    """The compiler writes the shadow of stacks without asking whether there is one.

    On this machine RAM is where the shadow will be; what firmware left there must stay.
    """
    size = 0x200000
    (tmp_path / "ones").write_bytes(b"\xff" * size)
    machine = boot(memory="3G", extra=["-device", f"loader,file={tmp_path}/ones,addr=0x80000000,"
                                       "force-raw=on"])
    machine.qmp("pmemsave", val=0x80000000, size=size, filename=str(tmp_path / "now"))
    assert (tmp_path / "now").read_bytes() == b"\xff" * size


@checking
@pytest.mark.full
@pytest.mark.parametrize("memory", ["64M", "600M"])
def test_selftest_on_other_machines(memory):
    with Machine(memory=memory) as machine:
        machine.prompt()
        assert re.fullmatch(r"\d+ passed, 0 failed", machine.command("selftest", 200)[-1])


@pytest.mark.quick
def test_heap_check_finds_a_sound_heap(machine):
    assert machine.one_line("heap check").startswith("the heap is sound: ")
    assert machine.one_line("heap nothing").startswith("usage: heap [check]")
