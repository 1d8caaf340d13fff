#!/usr/bin/env python3
"""Draws eviction.svg from eviction.tsv (trace, server or policy, budget in percent, hit ratio), both beside this file."""
import pathlib

HERE = pathlib.Path(__file__).parent
COLOURS = ["#0b6e4f", "#3b6fb6", "#c1440e", "#e08e45", "#7b68ae", "#8d99ae", "#a0a0a0", "#d0a0d0"]
WIDTH, HEIGHT, LEFT, TOP = 430, 330, 58, 34


def main():
    rows = [line.split("\t") for line in (HERE / "eviction.tsv").read_text().splitlines()[1:] if line]
    traces = list(dict.fromkeys(row[0] for row in rows))
    names = list(dict.fromkeys(row[1] for row in rows))
    columns = min(3, len(traces))
    lines = -(-len(traces) // columns)
    total = (columns * WIDTH, lines * HEIGHT + 26 + 20 * (-(-len(names) // 3)))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" font-family="sans-serif" font-size="12">',
        f'<rect width="{total[0]}" height="{total[1]}" fill="#fff"/>',
    ]
    for at, trace in enumerate(traces):
        out += panel(trace, [row for row in rows if row[0] == trace], names, at % columns * WIDTH, at // columns * HEIGHT)
    for at, name in enumerate(names):
        x, y = 20 + at % 3 * total[0] / 3, lines * HEIGHT + 20 + at // 3 * 20
        out.append(f'<line x1="{x}" x2="{x + 26}" y1="{y - 4}" y2="{y - 4}" {stroke(name, names)}/>')
        out.append(f'<text x="{x + 32}" y="{y}">{name}</text>')
    (HERE / "eviction.svg").write_text("\n".join(out + ["</svg>"]) + "\n")


def stroke(name, names):
    dash = ' stroke-dasharray="5 4"' if "simulated" in name else ""
    return f'stroke="{COLOURS[names.index(name) % len(COLOURS)]}" stroke-width="2.2" fill="none"{dash}'


def panel(trace, rows, names, x0, y0):
    ratios = [100 * float(row[3]) for row in rows]
    low, high = min(ratios) // 2 * 2, -(-max(ratios) // 2) * 2
    budgets = sorted({float(row[2]) for row in rows})
    width, height = WIDTH - LEFT - 14, HEIGHT - TOP - 44

    def place(budget, ratio):
        x = x0 + LEFT + width * budgets.index(budget) / max(1, len(budgets) - 1)
        return f"{x:.1f},{y0 + TOP + height * (high - ratio) / (high - low):.1f}"

    yield f'<text x="{x0 + LEFT}" y="{y0 + 20}" font-size="14">{trace}: hits of 100 requests</text>'
    step = max(1, round((high - low) / 8))
    for ratio in range(int(low), int(high) + 1, step):
        y = place(budgets[0], ratio).split(",")[1]
        yield f'<line x1="{x0 + LEFT}" x2="{x0 + LEFT + width}" y1="{y}" y2="{y}" stroke="#e4e4e4"/>'
        yield f'<text x="{x0 + LEFT - 8}" y="{float(y) + 4}" text-anchor="end">{ratio}</text>'
    for budget in budgets:
        x = place(budget, low).split(",")[0]
        yield f'<text x="{x}" y="{y0 + TOP + height + 18}" text-anchor="middle">{budget:g} %</text>'
    yield f'<text x="{x0 + LEFT + width / 2}" y="{y0 + TOP + height + 34}" text-anchor="middle" fill="#666">memory, of the bytes of all keys and values</text>'
    for name in names:
        mine = sorted((float(row[2]), 100 * float(row[3])) for row in rows if row[1] == name)
        if mine:
            yield f'<polyline points="{" ".join(place(*one) for one in mine)}" {stroke(name, names)}/>'


if __name__ == "__main__":
    main()
