"""Where later versions than redis-server 7.0 answer otherwise, each as narrowly as it can be told."""

import math
import re

MISSING_MEMBER = b"ERR could not decode requested zset member"
SHAPES = b"ERR exactly one of BYRADIUS and BYBOX can be specified for "


# Commands about deadlines of fields.
FIELDS = ("HSETEX", "HGETEX", "HGETDEL", "HPERSIST", "HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME",
          "HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT")


class Peer:
    """Which server is compared with: (7, 0), (8, 0), or a Valkey such as (9, 1)."""

    def __init__(self, client):
        self.client = client
        info = client.call("INFO", "server")[1].decode()
        valkey = re.search(r"^valkey_version:(\d+)\.(\d+)", info, re.M)
        found = valkey or re.search(r"^redis_version:(\d+)\.(\d+)", info, re.M)
        self.valkey, self.version = bool(valkey), tuple(map(int, found.groups()))

    def forgives(self, args, theirs, ours, unequal):
        """Whether a difference is the version's; `unequal` is told of keys that it left with different values."""
        if self.version < (8, 0):
            return self.version < (7, 2) and is_small_set(self.client, args, theirs, ours)
        if (self.valkey and self.version >= (9, 1)) and is_short(self.client, args, theirs, ours):
            return True
        own = valkey_9(args, theirs, ours, unequal) if self.valkey else redis_8(self.client, args, theirs, ours)
        return own or newer(args, theirs, ours, unequal)


def is_small_set(client, args, theirs, ours):
    """Since 7.2 small sets of strings are listpacks."""
    encoding = args[:2] == ["OBJECT", "ENCODING"] and (theirs[1], ours[1]) == (b"hashtable", b"listpack")
    return encoding and client.call("TYPE", args[2])[1] == b"set"


# Valkey 9.1 keeps a string with its key where both take no more than 128 bytes, what else is kept with them included.
TOGETHER_MAX = 111


def is_short(client, args, theirs, ours):
    encoding = args[:2] == ["OBJECT", "ENCODING"] and (theirs[1], ours[1]) == (b"embstr", b"raw")
    return encoding and int(client.call("STRLEN", args[2])[1]) <= TOGETHER_MAX


def valkey_9(args, theirs, ours, unequal):
    name = args[0]
    # Deadlines of fields: both refuse, in other words and after other checks; and there FXX may stand twice, and a time be farther than 2^46 ms.
    if name in FIELDS and ours[0] == b"-":
        far = theirs[0] != b"-" and (b"invalid expire time" in ours[1] or b"Only one of FXX" in ours[1])
        if far:
            unequal(args[1])
        return far or theirs[0] == b"-"
    # Valkey cuts milliseconds off, Redis and Larder round up.
    if name == "HEXPIRETIME" and isinstance(theirs[1], tuple):
        return all(int(their[1]) <= int(our[1]) <= int(their[1]) + 1 for their, our in zip(theirs[1], ours[1]))
    # Numbers that were written in a way that is not how they print stay text for longer.
    if args[:2] == ["OBJECT", "ENCODING"]:
        return {theirs[1], ours[1]} == {b"raw", b"int"}
    if name.startswith("GEO"):
        # Which member of a search is missing; and polygons are named among the shapes.
        missing = ours[1] == MISSING_MEMBER and re.fullmatch(rb"ERR member .* does not exist", theirs[1], re.S)
        return missing or is_about_shapes(theirs, ours)
    # The time is read before the key is looked at.
    return name == "GETEX" and theirs[1] in (
        b"ERR invalid expire time in 'getex' command", b"ERR value is not an integer or out of range"
    ) and (ours == (b"$", None) or ours == (b"_", b"") or ours[1].startswith(b"WRONGTYPE"))


def is_about_shapes(theirs, ours):
    return ours[1].startswith(SHAPES) and theirs[1] == ours[1].replace(b"BYRADIUS and BYBOX", b"BYRADIUS, BYBOX and BYPOLYGON")


def redis_8(client, args, theirs, ours):
    name = args[0]
    # Groups have nothing to read in a stream that is empty, whatever was added to it.
    if name == "XINFO" and ours[0] in b"*%" and is_same_but_for_lag(theirs, ours):
        return True
    if [str(word).upper() for word in args[:2]] == ["XINFO", "GROUPS"] and len(args) == 3 and ours[0] == b"*":
        return client.call("XLEN", args[2])[1] == b"0" and list(map(without_lag, theirs[1])) == list(map(without_lag, ours[1]))
    # Coordinates in as few digits as read back equal; 7.2, Valkey and Larder print seventeen places.
    if name.startswith("GEO"):
        return alike(theirs, ours)
    # Since 7.4 a + asks for the last entry.
    if name == "XREAD" and "+" in args:
        return True
    # An end may be left out in Valkey and in Larder.
    return name == "BITCOUNT" and len(args) == 3 and theirs[1] == b"ERR syntax error"


def is_same_but_for_lag(theirs, ours, after=None):
    """A group that was said (ENTRIESREAD) to have read more than was ever added lags by less than nothing; Redis 8 counts what it
    has not been given."""
    if after == (b"$", b"lag") and ours[0] == b":" and int(ours[1]) < 0:
        return theirs[0] == b":"
    if not isinstance(ours[1], tuple) or not isinstance(theirs[1], tuple):
        return theirs == ours
    if len(theirs[1]) != len(ours[1]) or theirs[0] != ours[0]:
        return False
    before = (None, *ours[1])
    return all(map(is_same_but_for_lag, theirs[1], ours[1], before))


def without_lag(group):
    facts = group[1]
    return dict(zip(facts[::2], facts[1::2])) | {(b"$", b"lag"): None}


def newer(args, theirs, ours, unequal):
    """What Valkey 9 and Redis 8 have in common and 7.2 has not."""
    name = args[0]
    refusal = theirs[1] if theirs[0] == b"-" else b""
    # An index far out of range is cut to 32 bits.
    if name == "LSET" and theirs == (b"+", b"OK") and ours[1] == b"ERR index out of range":
        unequal(args[1])
        return True
    if name == "LREM" and args[2] == -(2**63) and refusal.startswith(b"ERR value is out of range"):
        unequal(args[1])
        return True
    if name == "SCAN" and refusal.startswith(b"ERR unknown type name"):
        return not ours
    # Numbers may not begin with a space.
    if name.startswith("Z") and refusal in (b"ERR min or max is not a float", b"ERR value is not a valid float"):
        spaced = any(str(word).lstrip("(").startswith(" ") for word in args[2:])
        if spaced and ours[0] != b"-" and name not in READING:
            unequal(args[1])
        return spaced
    # A limit that begins before the first member begins at the first; in 7.2 it selects nothing.
    upper = [str(word).upper() for word in args]
    if name in (*READING, "ZRANGESTORE") and "LIMIT" in upper[:-1] and upper[upper.index("LIMIT") + 1].startswith("-"):
        if name == "ZRANGESTORE":
            unequal(args[1])
        return ours[1] in ((), b"0")
    if name == "XREAD" and b"Unbalanced" in refusal and b"Unbalanced" in ours[1]:
        return True
    # How the number of fields is refused; Larder says what Redis 7.4 does.
    return name.startswith("H") and b"umfields" in refusal.lower() and ours[0] == b"-" and b"umfields" in ours[1].lower()


# What looks at sorted sets and changes nothing.
READING = ("ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX")


def alike(theirs, ours):
    """Whether replies are the same but for the last digits of doubles."""
    if isinstance(theirs[1], tuple) and isinstance(ours[1], tuple):
        return len(theirs[1]) == len(ours[1]) and all(map(alike, theirs[1], ours[1]))
    if theirs == ours:
        return True
    try:
        return theirs[0] == ours[0] and math.isclose(float(theirs[1]), float(ours[1]), rel_tol=1e-11, abs_tol=1e-15)
    except (TypeError, ValueError):
        return False
