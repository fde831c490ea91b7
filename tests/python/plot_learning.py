"""Draws the validation accuracy of runs as an SVG.

    python tests/python/plot_learning.py docs/learning.svg runs/demo-1 runs/demo-2 …
"""

import json
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 300, 56, 44, 16, 16
COLOURS = ["#c2410c", "#0f766e", "#4338ca", "#a16207"]
ACCURACY = "val-core/all/acc/mean@1"

target, *folders = sys.argv[1:]
curves = []
for folder in folders:
    lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    points = [(line["step"], line[ACCURACY]) for line in map(json.loads, lines) if ACCURACY in line]
    curves.append((Path(folder).name, points))
last = max(step for _, points in curves for step, _ in points)


def place(step, accuracy):
    x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
    return x, TOP + (HEIGHT - TOP - BOTTOM) * (1 - accuracy)


svg = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
    ' aria-label="Validation accuracy over training steps" font-family="system-ui, sans-serif" font-size="12">',
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
]
for percent in range(0, 101, 20):
    _, y = place(0, percent / 100)
    svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
    svg.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{percent} %</text>')
for step in range(0, last + 1, max(1, last // 6)):
    x, _ = place(step, 0)
    svg.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#555">{step}</text>')
svg.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="#555">training step</text>')
for (name, points), colour in zip(curves, COLOURS):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"><title>{name}</title></polyline>')
svg.append("</svg>\n")
Path(target).write_text("\n".join(svg))
