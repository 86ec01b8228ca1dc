#!/usr/bin/env python3
"""Makes the small APFS sample of the tests from one that the driver wrote: compact.py IN OUT.

Leaves out the blocks that are not in use, so that the container is small (only what a reader needs stays right: the
allocation tables do not), and sets the flag of files with a compressed content, which the driver cannot.
"""
import struct
import sys

BLOCK, GAP = 4096, 16
NODES = (2, 3)
OBJECT_MAP, RECORDS = 11, 14
source = open(sys.argv[1], "rb").read()
used = [n for n in range(len(source) // BLOCK) if source.count(0, n * BLOCK, (n + 1) * BLOCK) != BLOCK]
# Ranges of blocks in use: old start, new start, blocks.
ranges, image = [], bytearray()
for number in used:
    if not ranges or number - ranges[-1][0] - ranges[-1][2] > GAP:
        ranges.append([number, len(image) // BLOCK, 0])
    old, start, _ = ranges[-1]
    ranges[-1][2] = number + 1 - old
    image[start * BLOCK:] = source[old * BLOCK:(number + 1) * BLOCK]


def new(number):
    return next((number - old + start for old, start, count in ranges if old <= number < old + count), number)


def move(at):
    number, = struct.unpack_from("<Q", image, at)
    struct.pack_into("<Q", image, at, new(number))


def seal(at):
    """The sum that a block should begin with."""
    low = high = 0
    for (word,) in struct.iter_unpack("<I", image[at + 8:at + BLOCK]):
        low = (low + word) % 0xFFFFFFFF
        high = (high + low) % 0xFFFFFFFF
    first = 0xFFFFFFFF - (low + high) % 0xFFFFFFFF
    return struct.pack("<II", first, 0xFFFFFFFF - (low + first) % 0xFFFFFFFF)


def records(at):
    """Places of the keys and values of a node."""
    flags, _, count = struct.unpack_from("<HHI", image, at + 32)
    offset, length = struct.unpack_from("<HH", image, at + 40)
    keys, values = at + 56 + offset + length, at + BLOCK - (40 if flags & 1 else 0)
    for n in range(count):
        if flags & 4:
            key, value = struct.unpack_from("<HH", image, at + 56 + offset + 4 * n)
        else:
            key, _, value, _ = struct.unpack_from("<HHHH", image, at + 56 + offset + 8 * n)
        yield keys + key, values - value


packed, inodes = set(), []
objects = [at for at in range(0, len(image), BLOCK) if any(image[at:at + 8]) and image[at:at + 8] == seal(at)]
for at in objects:
    kind, sub = struct.unpack_from("<II", image, at + 24)
    magic = image[at + 32:at + 36]
    if kind & 0x40000000:
        move(at + 8)
    level, = struct.unpack_from("<H", image, at + 34)
    if magic == b"NXSB":
        struct.pack_into("<Q", image, at + 40, len(image) // BLOCK)
        move(at + 160)
    elif magic == b"APSB":
        for field in (128, 144, 152):
            move(at + field)
    elif kind & 0xFFFF == OBJECT_MAP:
        move(at + 48)
    elif kind & 0xFFFF in NODES and sub == OBJECT_MAP:
        for _, value in records(at):
            move(value + (8 if level == 0 else 0))
    elif kind & 0xFFFF in NODES and sub == RECORDS and level == 0:
        for key, value in records(at):
            head, = struct.unpack_from("<Q", image, key)
            if head >> 60 == 8:
                move(value + 8)
            if head >> 60 == 4 and image[key + 10:key + 27] == b"com.apple.decmpfs":
                packed.add(head & (1 << 60) - 1)
            if head >> 60 == 3:
                inodes.append((head & (1 << 60) - 1, value))
for number, value in inodes:
    if number in packed:
        struct.pack_into("<I", image, value + 68, 0x20)
for at in objects:
    image[at:at + 8] = seal(at)
open(sys.argv[2], "wb").write(image)
