"""The figures that `make bench` compares with: what has grown is said, and nothing fails."""
import pytest

from counting import Baseline, compilers

pytestmark = pytest.mark.quick


def compared(path, compiled_by="gcc 12", **figures):
    baseline = Baseline(path, compiled_by)
    for name, figure in figures.items():
        baseline.add(name.replace("_", " "), figure)
    return baseline, baseline.compare()


@pytest.fixture(name="path")
def write_baseline(tmp_path):
    path = tmp_path / "baseline.txt"
    baseline, _ = compared(path, heap_python=100, heap_gcc=50, idle=0)
    baseline.write()
    return path


def test_growth_is_printed(path):
    _, lines = compared(path, heap_python=103.2, heap_gcc=50)
    assert lines[0] == "SLOWER heap python 100.0 103.2 +3.2%"
    assert lines[1].startswith("1 figures are more than 3% above the baseline, 0 as much below, 1 as")


def test_little_growth_is_not(path):
    _, lines = compared(path, heap_python=102.9, heap_gcc=40, another=7)
    assert lines == ["0 figures are more than 3% above the baseline, 1 as much below, "
                     "1 as they were; 1 have none"]


def test_from_nothing(path):
    _, lines = compared(path, idle=0)
    assert lines[0].startswith("0 figures")
    _, lines = compared(path, idle=1)
    assert lines[0].startswith("SLOWER idle")


def test_what_was_not_counted_stays(path):
    baseline, _ = compared(path, heap_gcc=40, heap_mix=7)
    baseline.write()
    _, lines = compared(path, heap_python=100, heap_gcc=40, heap_mix=7, idle=0)
    assert lines == ["0 figures are more than 3% above the baseline, 0 as much below, "
                     "4 as they were; 0 have none"]


def test_another_compiler_is_named(path):
    assert compared(path)[1][1:] == []
    baseline, lines = compared(path, compiled_by="gcc 13")
    assert lines[1:] == ["The baseline was compiled by gcc 12, this by gcc 13"]
    baseline.write()
    assert compared(path, compiled_by="gcc 13")[1][1:] == []


def test_without_a_file(tmp_path):
    _, lines = compared(tmp_path / "none.txt", heap_python=1)
    assert lines[-1].endswith("1 have none")


def test_compilers_of_a_build(tmp_path):
    (tmp_path / "compiler").write_text("gcc -O2 UBSAN\n", encoding="utf-8")
    host, kernel = compilers(tmp_path).split(", ")
    assert host == kernel and host.startswith("gcc ")
