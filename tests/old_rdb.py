"""Builds files of snapshots in the forms that servers since Redis 2.4 wrote, byte by byte as the format is described.

Strings are bytes; numbers stand as their decimal text where a form has room for text only.
"""

import struct


def _table():
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x95AC9329AC4BC9B5 if byte & 1 else 0)
        entries.append(byte)
    return entries


_CRC = _table()


def crc64(data):
    """The checksum of Jones, as files end with it since version 5."""
    crc = 0
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def length(n):
    if n < 1 << 6:
        return bytes([n])
    if n < 1 << 14:
        return struct.pack(">H", 0x4000 | n)
    return b"\x80" + struct.pack(">I", n) if n < 1 << 32 else b"\x81" + struct.pack(">Q", n)


def string(text):
    return length(len(text)) + text


def number(n):
    """A string that is a number, in as few bytes as it takes."""
    for kind, form in ((0xC0, "<b"), (0xC1, "<h"), (0xC2, "<i")):
        if -(1 << 8 * struct.calcsize(form) - 1) <= n < 1 << 8 * struct.calcsize(form) - 1:
            return bytes([kind]) + struct.pack(form, n)
    return string(b"%d" % n)


def lzf_run(pattern, count):
    """A string that LZF made short: the pattern once, and references back to it for the rest of `count` times."""
    rest, out = len(pattern) * (count - 1), bytes([len(pattern) - 1]) + pattern
    distance = len(pattern) - 1
    while rest:
        some = min(rest, 264) if rest - min(rest, 264) not in (1, 2) else min(rest, 264) - 3
        size = some - 2
        out += bytes([size << 5 | distance >> 8]) if size < 7 else bytes([7 << 5 | distance >> 8, size - 7])
        out += bytes([distance & 0xFF])
        rest -= some
    return b"\xc3" + length(len(out)) + length(len(pattern) * count) + out


def ziplist(*members):
    """Entries: bytes as they are, integers in the narrowest of their forms."""
    body, before, last = b"", 0, 10
    for member in members:
        last = 10 + len(body)
        entry = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        if isinstance(member, bytes):
            if len(member) < 1 << 6:
                entry += bytes([len(member)])
            elif len(member) < 1 << 14:
                entry += struct.pack(">H", 0x4000 | len(member))
            else:
                entry += b"\x80" + struct.pack(">I", len(member))
            entry += member
        elif 0 <= member <= 12:
            entry += bytes([0xF1 + member])
        else:
            for kind, size in ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8)):
                if -(1 << 8 * size - 1) <= member < 1 << 8 * size - 1:
                    entry += bytes([kind]) + member.to_bytes(size, "little", signed=True)
                    break
        before = len(entry)
        body += entry
    return struct.pack("<IIH", 11 + len(body), last, len(members)) + body + b"\xff"


def zipmap(pairs, free=0, count=None):
    """Fields and values, each value with some bytes behind it that hold nothing."""

    def size(n):
        return bytes([n]) if n < 254 else b"\xfe" + struct.pack("<I", n)

    body = b"".join(
        size(len(field)) + field + size(len(value)) + bytes([free]) + value + b"-" * free
        for field, value in pairs.items()
    )
    return bytes([min(len(pairs), 254) if count is None else count]) + body + b"\xff"


def intset(numbers, size):
    body = b"".join(n.to_bytes(size, "little", signed=True) for n in sorted(numbers))
    return struct.pack("<II", size, len(numbers)) + body


def listpack(*members):
    """Entries: bytes, and integers in the narrowest of their forms."""
    body = b""
    for member in members:
        if isinstance(member, bytes):
            n = len(member)
            entry = (
                bytes([0x80 | n])
                if n < 1 << 6
                else struct.pack(">H", 0xE000 | n)
                if n < 1 << 12
                else b"\xf0" + struct.pack("<I", n)
            ) + member
        elif 0 <= member < 128:
            entry = bytes([member])
        elif -(1 << 12) <= member < 1 << 12:
            entry = struct.pack(">H", 0xC000 | member & 0x1FFF)
        else:
            for kind, size in ((0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8)):
                if -(1 << 8 * size - 1) <= member < 1 << 8 * size - 1:
                    entry = bytes([kind]) + member.to_bytes(size, "little", signed=True)
                    break
        back, size = [], len(entry)
        while True:
            back.append(size & 0x7F)
            size >>= 7
            if not size:
                break
        # The length of an entry, to be read from behind: all bytes but the first one say that there are more.
        back[:-1] = [byte | 0x80 for byte in back[:-1]]
        body += entry + bytes(reversed(back))
    return struct.pack("<IH", 7 + len(body), len(members)) + body + b"\xff"


def score_text(score):
    """A score as versions before 8 wrote it."""
    special = {float("inf"): b"\xfe", float("-inf"): b"\xff"}
    text = repr(score).encode()
    return special.get(score) or bytes([len(text)]) + text


def stream_id(ms, seq):
    return struct.pack(">QQ", ms, seq)


def stream(version, entries, deleted, groups):
    """One node of entries with the same fields, of which some are deleted, and the groups.

    Entries are `{(ms, seq): {field: value}}`, groups `{name: (last id, {consumer: {pending id: (time, count)}})}`.
    """
    first, last = min(entries), max(entries)
    fields = list(entries[first])
    members = [len(entries) - len(deleted), len(deleted), len(fields), *fields, 0]
    for (ms, seq), values in entries.items():
        flags = 1 if (ms, seq) in deleted else 0
        same = list(values) == fields
        members += [flags | (2 if same else 0), ms - first[0], seq - first[1]]
        own = list(values.values()) if same else [len(values), *(part for pair in values.items() for part in pair)]
        members += [*own, 3 + len(own)]
    alive = len(entries) - len(deleted)
    out = length(1) + string(stream_id(*first)) + string(listpack(*members)) + length(alive)
    out += length(last[0]) + length(last[1])
    if version >= 2:
        oldest = min(id for id in entries if id not in deleted)
        out += b"".join(map(length, (*oldest, *max(deleted, default=(0, 0)), len(entries))))
    out += length(len(groups))
    for name, (delivered, consumers) in groups.items():
        out += string(name) + length(delivered[0]) + length(delivered[1])
        if version >= 2:
            out += length(len([id for id in entries if id <= delivered]))
        pending = sorted((id, fact) for facts in consumers.values() for id, fact in facts.items())
        out += length(len(pending))
        out += b"".join(stream_id(*id) + struct.pack("<q", time) + length(count) for id, (time, count) in pending)
        out += length(len(consumers))
        for consumer, facts in consumers.items():
            out += string(consumer) + struct.pack("<q", 1_500_000_000_000)
            out += struct.pack("<q", 1_500_000_000_000) if version >= 3 else b""
            out += length(len(facts)) + b"".join(stream_id(*id) for id in sorted(facts))
    return out


def file(version, databases, aux=(), resize=True):
    """A file: `databases` maps a number to its records, made by `record`."""
    out = b"REDIS%04d" % version
    out += b"".join(b"\xfa" + string(name) + text for name, text in aux)
    for db, records in databases.items():
        out += b"\xfe" + length(db)
        if resize and version >= 7:
            out += b"\xfb" + length(len(records)) + length(sum(record[0] in (0xFC, 0xFD) for record in records))
        out += b"".join(records)
    out += b"\xff"
    return out + struct.pack("<Q", crc64(out)) if version >= 5 else out


def record(kind, key, value, before=b""):
    return before + bytes([kind]) + string(key) + value


def dies_ms(at):
    return b"\xfc" + struct.pack("<q", at)


def dies_s(at):
    return b"\xfd" + struct.pack("<i", at)
