#!/usr/bin/env python3
"""Derives catalogue/outlines/world.txt from countries-50m.json of the npm package world-atlas 2.0.2
(Natural Earth 1:50m, public domain): every line once, simplified and rounded.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python3 catalogue/outlines/derive.py package/countries-50m.json > catalogue/outlines/world.txt
"""
import json
import sys

TOLERANCE = 0.04  # degrees a left-out point may lie off the line
GRID = 100        # steps per degree


def simplify(line):
    """Douglas and Peucker, without recursion."""
    keep = {0, len(line) - 1}
    todo = [(0, len(line) - 1)]
    while todo:
        a, b = todo.pop()
        (ax, ay), (bx, by) = line[a], line[b]
        dx, dy = bx - ax, by - ay
        length = (dx * dx + dy * dy) ** 0.5
        best, at = 0.0, None
        for k in range(a + 1, b):
            x, y = line[k][0] - ax, line[k][1] - ay
            off = abs(dx * y - dy * x) / length if length else (x * x + y * y) ** 0.5
            if off > best:
                best, at = off, k
        if best > TOLERANCE:
            keep.add(at)
            todo += [(a, at), (at, b)]
    return [line[k] for k in sorted(keep)]


def main():
    topology = json.load(open(sys.argv[1]))
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    print("# Coasts and borders of the world, 1/%d degree: first point, then steps; made by derive.py" % GRID)
    print("# from Natural Earth 1:50m (public domain) as packed in world-atlas 2.0.2.")
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        for part in pieces(line):
            write([(round(a * GRID), round(b * GRID)) for a, b in simplify(part)])


def pieces(line):
    """Cuts a line where it jumps over the edge of the map."""
    start = 0
    for k in range(1, len(line)):
        if abs(line[k][0] - line[k - 1][0]) > 180:
            yield line[start:k]
            start = k
    yield line[start:]


def write(line):
    """One row, unless there is nothing to see."""
    if line:
        steps = [line[0]] + [(b[0] - a[0], b[1] - a[1]) for a, b in zip(line, line[1:])]
        steps = steps[:1] + [s for s in steps[1:] if s != (0, 0)]
        if len(steps) > 2:
            print(" ".join("%d %d" % s for s in steps))



main()
