#!/usr/bin/python3
"""Boots every cell of the matrix and prints the table of docs/hardware.md.

usage: matrix.py [--write]

With --write the table is put into the page, between the comments that name it.
"""
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from pathlib import Path

import cells
import images

HERE = Path(__file__).resolve().parent
PAGE = images.ROOT / "docs" / "hardware.md"
HEAD = ["| | machine | keyboard | screen | result |", "| --- | --- | --- | --- | --- |"]


def run(report):
    """Runs the cells; pytest's status."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(os.cpu_count() or 2),
               f"--junitxml={report}", str(HERE / "test_matrix.py")]
    return subprocess.run(command, check=False).returncode


def results(report):
    """Of each cell's name: what the screen was and how the cell ended."""
    found = {}
    for case in tree.parse(report).iter("testcase"):
        name = re.search(r"\[(.*)\]", case.get("name"))[1]
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        bad = case.find("failure") is not None or case.find("error") is not None
        found[name] = (properties.get("screen", ""), "FAIL" if bad else "works")
    return found


def table(found):
    """The rows, with the part named where it begins."""
    rows, part = list(HEAD), None
    for cell in cells.CELLS:
        screen, result = found.get(f"{cell.part}: {cell.name}", ("", "did not run"))
        first = cell.part if cell.part != part else ""
        part = cell.part
        rows.append(f"| {first} | {cell.name} | {cell.keyboard} | {screen} | {result} |")
    for number, (name, (_, _, keyboard)) in enumerate(cells.OTHERS.items()):
        screen, result = found.get(name, ("", "did not run"))
        first = "" if number else "other machines"
        rows.append(f"| {first} | {name} | {keyboard.split(' ')[-1]} | {screen} | {result} |")
    return rows


def write(rows):
    text = PAGE.read_text()
    body = "\n".join(rows)
    PAGE.write_text(re.sub(r"(<!-- matrix -->\n).*?(<!-- end -->)", rf"\1{body}\n\2", text, flags=re.S))


def main():
    with tempfile.TemporaryDirectory() as folder:
        status = run(f"{folder}/report.xml")
        rows = table(results(f"{folder}/report.xml"))
    print("\n".join(rows))
    if "--write" in sys.argv[1:]:
        write(rows)
    print(f"{sum('| works |' in row for row in rows)} of {len(rows) - len(HEAD)} cells work")
    return status


if __name__ == "__main__":
    sys.exit(main())
