#!/usr/bin/env python3
"""What a snapshot costs under a steady load of writes, server beside server: a summary in text and a plot (SVG).

    cargo build --release && cargo build --release -p larder-engine --example snapshot_load
    bench/snapshot.py --out docs/snapshot.svg \\
        --server "larder=target/release/larder node --threads 1 --save '' --protected-mode no" \\
        --server "valkey=valkey-server --save '' --protected-mode no"

Each server gets `--port` and `--dir` added, core 0, and is loaded from core 1. Needs memory for three times the data.
"""

import argparse
import csv
import pathlib
import shlex
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOAD = ROOT / "target/release/examples/snapshot_load"
COLOURS = ["#0b7285", "#c2410c", "#5f3dc4"]
WIDTH, HEIGHT, LEFT, GAP = 860, 190, 70, 60


def measure(command, port, folder, case):
    command = [*shlex.split(command), "--port", str(port), "--dir", str(folder)]
    server = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"did not start: {shlex.join(command)}")
                time.sleep(0.1)
        words = [port, server.pid, case.megabytes, case.value, case.rate, case.seconds]
        load = subprocess.run(["taskset", "-c", "1", LOAD, *map(str, words)], capture_output=True, text=True)
        if load.returncode != 0:
            raise SystemExit(f"{shlex.join(command)}\n{load.stderr}")
        rows = list(csv.DictReader(load.stdout.splitlines()))
        return [{name: int(value) for name, value in row.items()} for row in rows]
    finally:
        server.kill()
        server.wait()


def summary(name, rows):
    quiet = [row for row in rows if 2_000 < row["ms"] < 9_800]
    saving = [row for row in rows if row["saving"]]
    if not saving:
        return f"{name}: no snapshot was seen"
    rss = max(row["rss_kb"] for row in quiet)
    more = max(row["rss_kb"] for row in saving) - rss

    def middle(rows, column):
        return sorted(row[column] for row in rows)[len(rows) // 2]

    return (f"{name}: snapshot {len(saving) / 10:.1f} s; resident {rss / 1024:.0f} MB, at most {more / 1024:+.0f} MB "
            f"({100 * more / rss:+.1f} %); p99 (median of tenths) {middle(quiet, 'p99_us')} -> {middle(saving, 'p99_us')} us; "
            f"longest wait {max(row['max_us'] for row in quiet)} -> {max(row['max_us'] for row in saving)} us")


def panel(title, unit, top, series, column, scale, log):
    """One chart: a line per server over seconds."""
    import math

    most = max(max(row[column] for row in rows) / scale for _, rows in series) or 1
    least = min(min(row[column] for row in rows) / scale for _, rows in series)
    last = max(rows[-1]["ms"] for _, rows in series)

    def y(value):
        if log:
            low, high = math.log10(max(least, 0.001)), math.log10(most)
            part = (math.log10(max(value, 0.001)) - low) / ((high - low) or 1)
        else:
            part = value / most
        return top + HEIGHT - part * HEIGHT

    def x(ms):
        return LEFT + ms / last * (WIDTH - LEFT - 20)

    out = [f'<text x="{LEFT}" y="{top - 10}" font-weight="600">{title}</text>']
    steps = [10 ** e for e in range(-3, 6) if least <= 10 ** e <= most] if log else [most * part / 4 for part in range(5)]
    for value in steps:
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#8884"/>'
                   f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    out.append(f'<text x="14" y="{top + HEIGHT / 2}" transform="rotate(-90 14 {top + HEIGHT / 2})" '
               f'text-anchor="middle">{unit}</text>')
    for second in range(0, last // 1000 + 1, 10):
        out.append(f'<text x="{x(second * 1000):.0f}" y="{top + HEIGHT + 16}" text-anchor="middle">{second} s</text>')
    for at, ((name, rows), colour) in enumerate(zip(series, COLOURS)):
        points = " ".join(f"{x(row['ms']):.1f},{y(row[column] / scale):.1f}" for row in rows)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        during = [row["ms"] for row in rows if row["saving"]]
        if during:
            bar = top + HEIGHT + 3 - 4 * at
            out.append(f'<line x1="{x(during[0]):.1f}" x2="{x(during[-1]):.1f}" y1="{bar}" y2="{bar}" '
                       f'stroke="{colour}" stroke-width="3"/>')
    return "\n".join(out)


def plot(title, series):
    legend = "".join(
        f'<text x="{LEFT + 130 * at}" y="44" fill="{colour}" font-weight="600">{name}</text>'
        for at, ((name, _), colour) in enumerate(zip(series, COLOURS)))
    first, second = 80, 80 + HEIGHT + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {second + HEIGHT + 30}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
            f'<text x="{LEFT}" y="24" font-size="15" font-weight="600">{title}</text>{legend}'
            + panel("p99 of writes (bar below: the snapshot)", "milliseconds", first, series, "p99_us", 1000, True)
            + panel("resident memory, a forked child included", "GB", second, series, "rss_kb", 1 << 20, False)
            + "</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", required=True, help="NAME=COMMAND")
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--value", type=int, default=1000, help="bytes of a value")
    parser.add_argument("--rate", type=int, default=20000, help="writes per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--port", type=int, default=7101)
    parser.add_argument("--out", type=pathlib.Path, help="where to put the plot")
    case = parser.parse_args()
    series = []
    for at, server in enumerate(case.server):
        name, command = server.split("=", 1)
        with tempfile.TemporaryDirectory() as folder:
            series.append((name, measure(command, case.port + at, folder, case)))
        print(summary(*series[-1]), flush=True)
    if case.out:
        title = f"BGSAVE: {case.megabytes / 1024:g} GB in values of {case.value:,} bytes, {case.rate:,} writes/s"
        case.out.write_text(plot(title, series))


if __name__ == "__main__":
    main()
