#!/usr/bin/env python3
"""Runs the tests and closes with one line: N passed, N failed.

usage: run.py [--only MARKS] [--variant BUILD[:CPU]]... [--variants-only MARKS] [HOST_TEST...]

First the host tests, each a cmocka program, two at a time; then the boot tests by pytest, those of
heap-replay, and that of mutation runs. --only chooses of pytest's tests those with certain marks, as
"quick or full"; without it, host tests find RONINOS_TEST_ALL in their environment and take their time.
A program that crashes counts as one failure.

Each BUILD of --variant holds the same kernel built in another way: last come the boot tests on each,
all or those of --variants-only. CPU is the -cpu that QEMU gets where a test names none. Without a
HOST_TEST there is nothing else.
"""
import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = os.cpu_count() or 2
TIMEOUT = 600            # seconds for one host test; most take a few


def run_host_test(program):
    try:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return program, [0, 1], f"it has not ended after {TIMEOUT} seconds"
    passed = re.search(r"\[  PASSED  \] (\d+) test", done.stdout)
    failed = re.search(r"\[  FAILED  \] *(\d+) test", done.stdout)
    counts = [int(m.group(1)) if m else 0 for m in (passed, failed)]
    if done.returncode != 0 and counts[1] == 0 or sum(counts) == 0:
        counts[1] += 1  # it crashed, or ran nothing
    return program, counts, done.stdout


def run_host_tests(programs):
    total = [0, 0]
    with ThreadPoolExecutor(WORKERS) as pool:
        for program, counts, output in pool.map(run_host_test, programs):
            total = [total[0] + counts[0], total[1] + counts[1]]
            print(f"{os.path.basename(program)}: {counts[0]} passed, {counts[1]} failed", flush=True)
            if counts[1]:
                print(output)
    return total


def run_pytest(paths, marks=None, variables=None):
    """`marks` chooses tests by their marks; `variables` are more for their environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(WORKERS), "--dist", "load",
               "-c", os.path.join(HERE, "boot", "pytest.ini"),
               *[os.path.join(HERE, path) for path in paths]]
    if marks:
        command += ["-m", marks]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace",
                          env={**os.environ, **(variables or {})}) as pytest:
        last = ""
        for line in pytest.stdout:
            print(line, end="", flush=True)
            last = line if " in " in line else last
    counts = {word: int(number)
              for number, word in re.findall(r"(\d+) (passed|failed|errors?)", last)}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    if pytest.returncode != 0 and failed == 0 or not counts.get("passed"):
        failed += 1
    return [counts.get("passed", 0), failed]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--variant", action="append", default=[])
    parser.add_argument("--variants-only")
    parser.add_argument("host_tests", nargs="*")
    arguments = parser.parse_args()

    counts = []
    if not arguments.only:
        os.environ["RONINOS_TEST_ALL"] = "1"
    if arguments.host_tests:
        counts.append(run_host_tests(arguments.host_tests))
        counts.append(run_pytest(["test_mutations.py", "bench", "boot"], arguments.only))
    for variant in arguments.variant:
        build, _, cpu = variant.partition(":")
        print(f"{build}{cpu and f', -cpu {cpu}'}:", flush=True)
        counts.append(run_pytest(["boot"], arguments.variants_only,
                                 {"RONINOS_BUILD": build, "RONINOS_CPU": cpu}))
    passed, failed = (sum(column) for column in zip(*counts))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
