"""What the build promises about the image, read from its disassembly, symbols and file."""
import os
import re
import subprocess

import pytest

from images import BUILD

pytestmark = pytest.mark.quick

ELF = os.path.join(BUILD, "roninos.elf")


def disassembly():
    with open(os.path.join(BUILD, "roninos.dis"), encoding="utf-8") as file:
        return file.read()


def symbols():
    with open(os.path.join(BUILD, "roninos.sym"), encoding="utf-8") as file:
        return {name: int(address, 16) for address, _, name in map(str.split, file)}


def test_a_486_can_run_every_instruction():
    """No cmov, no SSE, no FPU: what a careless -march or libgcc would bring in.

    TZCNT is there and harmless: GCC writes it for BSF, which is how older CPUs execute it.
    """
    newer = re.findall(r"\t(cmov\w+|fld\w*|fst\w*|fild\w*|movaps|movups|movdqa|movdqu|movq|"
                       r"pxor|xorps|endbr32|popcnt|lzcnt)\b", disassembly())
    assert newer == []


def test_optional_instructions_stand_in_cpu_c_only():
    """CPUID, RDTSC, WRMSR and CR4 exist on some CPUs: cpu.c asks before it uses them.

    timer_stamp() knows: it reads the TSC where that has been measured. At -O0 rdtsc() itself stands alone.
    """
    function, users = None, set()
    for line in disassembly().splitlines():
        head = re.match(r"[0-9a-f]+ <(\S+)>:", line)
        if head:
            function = head.group(1)
        elif re.search(r"\t(cpuid|rdtsc|wrmsr|rdmsr)\b|%cr4", line):
            users.add(function)
    allowed = {"cpu_init", "cpuid", "cpu_tsc", "cpu_tsc_leaves", "cpu_read_cr4", "cpu_read_pat",
               "cpu_read_msr", "cpu_write_msr", "write_cr4", "identify", "identify_extended", "set_pat",
               "timer_stamp", "rdtsc"}
    assert users <= allowed


def test_image_and_bss_stay_below_4_mib():
    """Firmware may own memory from 0x806000 on, and GRUB does not check for it."""
    assert symbols()["_kernel_start"] == 0x100000
    assert symbols()["_kernel_end"] <= 0x400000


def test_text_and_data_lie_on_pages_of_their_own():
    names = ("_text_start", "_text_end", "_rodata_start", "_rodata_end", "_boot_stack_guard")
    assert [name for name in names if symbols()[name] % 4096] == []


def test_multiboot2_header_is_found():
    assert subprocess.run(["grub-file", "--is-x86-multiboot2", ELF], check=False).returncode == 0


def test_the_image_is_small():
    """Three platforms of GRUB are most of it."""
    assert os.path.getsize(os.path.join(BUILD, "roninos.iso")) < 5500000
