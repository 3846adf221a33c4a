#!/usr/bin/env python3
"""Draws how much memory the heap and its peers hold while a trace is replayed.

usage: figures.py BUILD OUT TRACES...

One picture for each trace in the folders TRACES, OUT/footprint-NAME.png, by gnuplot. What the peers
hold is counted as in replay.py; of the heap it is the mapped pages, its index among them.
"""
import subprocess
import sys
import tempfile

import replay
from counting import BenchError

SAMPLES = 400
COLOURS = {"heap": "#c02020", "no small": "#e09030", "glibc": "#3060c0", "jemalloc": "#308040",
           "mimalloc": "#8050b0"}
SMALL_PEAK = 1 << 20    # below, a picture counts in KiB

SCRIPT = """\
set terminal pngcairo size 860,380 font "Sans,10" linewidth 1.3
set output "{out}"
set title "{title}"
set xlabel "thousand operations"
set ylabel "{unit}"
set grid linecolor rgb "#d8d8d8"
set border 3
set tics nomirror
set key outside right center
set yrange [0:*]
set autoscale xfix
plot {curves}
"""


def samples(program, path, options, name):
    """Three columns: operations, live bytes, bytes held."""
    text = replay.Replay(program, path).text([*options, "--samples", str(SAMPLES)], name)
    return [tuple(map(int, line.split())) for line in text.splitlines()]


def draw(program, trace, path, out):
    columns = {name: samples(program, path, options, library)
               for name, options, library in replay.HEAPS + replay.PEERS}
    live = [line[1] for line in columns["heap"]]
    unit, scale = ("KiB", 1 << 10) if max(live) < SMALL_PEAK else ("MiB", 1 << 20)

    with tempfile.NamedTemporaryFile("w", suffix=".dat") as data:
        for i, line in enumerate(columns["heap"]):
            held = [column[i][2] / scale for column in columns.values()]
            print(line[0] / 1000, live[i] / scale, *held, file=data)
        data.flush()
        curves = [f'"{data.name}" using 1:2 with filledcurves y1=0 title "live" '
                  'linecolor rgb "#dddddd"']
        curves += [f'"{data.name}" using 1:{i} with lines title "{name}" '
                   f'linecolor rgb "{COLOURS[name]}" linewidth {2 if name == "heap" else 1}'
                   for i, name in reversed(list(enumerate(columns, 3)))]
        script = SCRIPT.format(out=out, unit=unit, curves=", ".join(curves),
                               title=f"{trace}: memory held for what lives")
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(f"  FIGURE  {out}")


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: figures.py BUILD OUT TRACES...")
    build, out, *folders = sys.argv[1:]
    try:
        for trace, path in replay.traces(folders).items():
            draw(f"{build}/host/heap-replay", trace, path, f"{out}/footprint-{trace}.png")
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"figures: {error}")


if __name__ == "__main__":
    main()
