"""Compares what commands become in the append-only file: of a node, and of a real server.

Each step is executed by both, and what it added to the files is compared word by word. Where a server is known to write
something else with the same effect, both forms are brought to the same one first (`normal`). What chance or the clock
chose is compared by its place only.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ports import free_port

PATIENCE_SECONDS = 120

# A line is a command of the main session; `@name` says another session, `!` that it will have to wait.
STEPS = """
SET a 1 | SET a 1 EX 100 | SET a 3 NX | SET a 3 XX PX 100000 | SET a 3 EXAT 33177117420 | SETEX a 100 v
PSETEX a 100000 v | GETEX a | GETEX a EX 50 | GETEX a PERSIST | GETEX a PERSIST | GETEX a PXAT 1 | SETNX a 1 | SETNX a 1
GETSET a 2 | GETDEL a | GETDEL a | INCR n | INCRBY n 5 | INCRBYFLOAT n 1.5 | MSETNX n 1 m 2 | MSETNX m 1 m2 2
APPEND m xx | SETRANGE m 1 y | EXPIRE m 100 | EXPIRE m 100 NX | PEXPIRE m 100000 | EXPIREAT m 33177117420 | EXPIRE m -1
PERSIST m2 | EXPIRE m2 100 | PERSIST m2 | DEL m2 nokey | UNLINK n nokey
SADD s a b | SPOP s | SADD s a b c d e | SPOP s 2 | SPOP s 100 | SREM s a | SADD s a b | SREM s a zz
HSET h a 1 b 2 | HINCRBYFLOAT h a 1.5 | HINCRBY h b 1 | HSETNX h a 1 | HDEL h zz | HDEL h a zz
XADD st * a 1 | XADD st MAXLEN ~ 10 * a 1 | XADD st 99999999999999-* a 1 | XADD st MAXLEN 2 99999999999999-10 a 1
XTRIM st MAXLEN ~ 1 | XTRIM st MAXLEN 1 | XADD st 99999999999999-30 b 1 | XGROUP CREATE st g 0
XGROUP CREATE st2 g $ MKSTREAM | XREADGROUP GROUP g c COUNT 1 STREAMS st > | XREADGROUP GROUP g c STREAMS st >
XREADGROUP GROUP g c NOACK STREAMS st > | XADD st 99999999999999-40 b 1 | XREADGROUP GROUP g c2 NOACK STREAMS st >
XREADGROUP GROUP g c2 STREAMS st 0 | XCLAIM st g c2 0 99999999999999-30 | XAUTOCLAIM st g c 0 0 COUNT 10
XDEL st 99999999999999-20 | XACK st g 99999999999999-30 | XACK st g 99999999999999-30 | XGROUP CREATECONSUMER st g cc
XGROUP CREATECONSUMER st g cc | XGROUP SETID st g 0 | XGROUP DESTROY st g | XSETID st 99999999999999-50
@b !BLPOP l 0 | RPUSH l a b | @b !BRPOP l2 l3 0 | RPUSH l3 a | @b !BLMOVE l4 l5 LEFT RIGHT 0 | RPUSH l4 a
@b !BRPOPLPUSH l4 l5 0 | RPUSH l4 a | @b !BLMPOP 0 1 l6 LEFT COUNT 5 | RPUSH l6 a b c | @b !BZPOPMIN z 0
ZADD z 1 a 2 b | @b !BZMPOP 0 1 z2 MAX COUNT 2 | ZADD z2 1 a 2 b 3 c | RPUSH l a | BLPOP l nope 0 | RPUSH l a b c
@b !XREADGROUP GROUP g c BLOCK 0 STREAMS st2 > | XADD st2 1-1 a b
BLMPOP 0 2 nope l LEFT COUNT 2 | LMPOP 2 nope l RIGHT COUNT 10 | ZMPOP 1 z2 MIN COUNT 10 | ZADD z2 1 a 2 b 3 c
ZPOPMIN z2 2 | BZPOPMAX z2 0 | RPUSH l a | BRPOPLPUSH l l2 0 | RPUSH l a | BLMOVE l l2 LEFT LEFT 0
MULTI | SET t 1 | EXEC | MULTI | SET t 1 | GET t | INCR t | EXEC | MULTI | GET t | EXEC
MULTI | SELECT 3 | SET t 1 | SELECT 4 | SET t 1 | SELECT 0 | EXEC | @b !BLPOP tl 0 | MULTI | RPUSH tl 1 | SET t 3 | EXEC
DEBUG SET-ACTIVE-EXPIRE 0 | SET ex 2 PX 30 | sleep 100 | GET ex | SET ex 2 PX 30 | sleep 100 | SET ex 3
SET ex 2 PX 30 | sleep 100 | INCR ex | SET ex 2 PX 30 | sleep 100 | SET ex 3 NX | SET ex 2 PX 30 | sleep 100
MULTI | GET ex | SET q 1 | EXEC | SET ex 2 PX 30 | sleep 100 | DEL ex
DEBUG SET-ACTIVE-EXPIRE 1 | expire ex 30 | RPUSH so 3 1 2 | SORT so STORE sod | COPY so so2 | COPY so so2
RENAME so2 so3 | MOVE so3 1 | SWAPDB 0 1 | SWAPDB 0 1 | PFADD pf a b | PFADD pf a b | PFMERGE pf2 pf
ZADD ge 1 a 2 b | PUBLISH ch msg | LPUSH d a | LTRIM d 5 6 | ZADD zz 1 a | ZADD zz 1 a | ZADD zz INCR 2 a
ZINCRBY zz 1 a | ZRANGESTORE zz2 zz 0 -1 | BITOP AND b1 q q | SETBIT bit 1 1 | BITFIELD bit SET u8 0 5
BITFIELD bit GET u8 0 | LSET nokey 0 1 | LREM d 0 zzz | TOUCH q | FLUSHDB ASYNC | SET a 1 | FLUSHALL | FLUSHALL | SET a 1
"""


# Only servers that have them: Valkey from 9.1 on.
CONDITIONAL = """
SET c 1 | SET c 2 IFEQ 1 | SET c 3 IFEQ 1 | SET c 3 IFEQ 2 EX 100 | SET c 4 IFEQ 3 GET | DELIFEQ c 9 | DELIFEQ c 4
DELIFEQ c 4 | MSETEX 2 c 1 d 2 | MSETEX 2 c 1 e 2 NX | MSETEX 2 e 1 f 2 NX EX 100 | MSETEX 1 e 3 XX KEEPTTL
MSETEX 1 e 3 PXAT 33177117420000 | MSETEX 2 g 1 h 1 XX
"""


def encode(args):
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)


def parse(text):
    """The commands of a file."""
    commands, at = [], 0

    def line(kind):
        nonlocal at
        end = text.index(b"\r\n", at)
        assert text[at : at + 1] == kind, text[at : at + 40]
        number, at = int(text[at + 1 : end]), end + 2
        return number

    while at < len(text):
        if text[at : at + 1] == b"#":
            at = text.index(b"\n", at) + 1
            continue
        args = []
        for _ in range(line(b"*")):
            size = line(b"$")
            args.append(text[at : at + size].decode())
            at += size + 2
        commands.append(args)
    return commands


def apart(words):
    """MSETEX as the SETs that do the same: a node logs those, which any server can load. A condition held."""
    if words[0].upper() != "MSETEX":
        return [words]
    count = int(words[1])
    pairs, options = words[2 : 2 + 2 * count], [word for word in words[2 + 2 * count :] if word not in ("NX", "XX")]
    if options == ["KEEPTTL"]:  # the key of that step has a deadline
        options = ["PXAT", "1000000000000"]
    return [["SET", *pairs[at : at + 2], *options] for at in range(0, len(pairs), 2)]


def normal(commands):
    """Commands in a form in which those with the same effect are the same."""
    out, effects = [], []
    for words in (part for command in commands for part in apart(command)):
        words = list(words)
        words[0] = words[0].upper()
        if words[0] in ("MULTI", "EXEC"):
            continue
        if words[0] == "UNLINK":
            words[0] = "DEL"
        if words[0] == "LMOVE":
            words[3:5] = [word.upper() for word in words[3:5]]
        # Redis 7.0 makes a consumer without a word, and says how far a group has read in XCLAIM only.
        if words[:2] == ["XGROUP", "CREATECONSUMER"] or "ENTRIESREAD" in words:
            continue
        if words[0] == "XCLAIM":
            words[words.index("TIME") + 1] = "<time>"
        if words[0] == "HSETEX" and words[2:4] == ["KEEPTTL", "FIELDS"]:  # Redis 8, where no field has a deadline
            words = ["HSET", words[1], *words[5:]]
        if words[0] == "SET":  # a condition that held
            words = words[:3] + [word for word in words[3:] if word not in ("NX", "XX")]
            words = words[:3] if words[3:4] == ["IFEQ"] else words
        if words[0] == "SREM" and len(words) == 3 and effects and effects[-1][:2] == words[:2]:
            effects[-1].append(words[2])
            continue
        effects.append([re.sub(r"^1[0-9]{12}(-0)?$", r"<now>\1", word) for word in words])
    for words in effects:
        # What chance chose.
        out.append(words[:2] + ["?"] * (len(words) - 2) if words[0] == "SREM" else words)
    # SETEX of Redis 7.0 deletes first.
    kept = []
    for at, words in enumerate(out):
        follows = out[at + 1] if at + 1 < len(out) else []
        if words[0] == "DEL" and follows[:2] == ["SET", words[1]]:
            continue
        kept.append(words)
    return kept


class Server:
    """A server with an append-only file."""

    def __init__(self, program, folder):
        self.folder, self.port = Path(folder), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        directory = str(self.folder)
        if program[0] == "chroot":  # it sees its files from there
            directory = "/" + str(self.folder.relative_to(program[1]))
        options = ["--port", str(self.port), "--dir", directory, "--appendonly", "yes", "--save", ""]
        self.process = subprocess.Popen(
            [*program, *options, "--enable-debug-command", "yes"], stdout=subprocess.DEVNULL
        )
        self.sessions, self.seen = {}, 0
        self.main = self.session("main")

    def session(self, name):
        if name not in self.sessions:
            until = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    connection = socket.create_connection(("127.0.0.1", self.port))
                    break
                except OSError:
                    assert time.monotonic() < until and self.process.poll() is None, "the server does not start"
                    time.sleep(0.02)
            self.sessions[name] = (connection, connection.makefile("rb"))
            while self.call(name, ["PING"]) != "+PONG":
                time.sleep(0.02)
        return self.sessions[name]

    def send(self, name, words):
        self.session(name)[0].sendall(encode([word.encode() for word in words]))

    def receive(self, name):
        lines = self.session(name)[1]
        line = lines.readline().decode()
        assert line, "the server hung up"
        kind, rest = line[0], line[1:].strip()
        if kind == "$":
            return None if int(rest) < 0 else lines.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return None if int(rest) < 0 else [self.receive(name) for _ in range(int(rest))]
        return line.strip()

    def call(self, name, words):
        self.send(name, words)
        return self.receive(name)

    def knows(self, command):
        return self.call("main", ["COMMAND", "INFO", command]) != [None]

    def waiters(self):
        info = self.call("main", ["INFO", "clients"])
        return int(info.split("blocked_clients:")[1].split("\r\n")[0])

    def commands(self):
        files = sorted(self.folder.glob("appendonlydir/*.incr.aof"))
        while True:
            try:
                return parse(b"".join(file.read_bytes() for file in files))
            except (ValueError, AssertionError):  # a command is just being written
                time.sleep(0.001)

    def added(self):
        """What came to the file since the last look, up to a mark that is set now."""
        self.mark = getattr(self, "mark", 0) + 1
        mark = ["SET", "mark", str(self.mark)]
        self.call("main", mark)
        until = time.monotonic() + PATIENCE_SECONDS
        while mark not in (commands := self.commands())[self.seen :]:
            assert time.monotonic() < until, commands[-3:]
            time.sleep(0.005)
        # A key may have died since: what comes after the mark is of the next look.
        end = commands.index(mark, self.seen)
        new, self.seen = commands[self.seen : end], end + 1
        return new

    def stop(self):
        for connection, _ in self.sessions.values():
            connection.close()
        self.process.terminate()
        self.process.wait()


def play(server, step):
    """Executes a step; answers what it added to the file, or nothing within MULTI, where a mark would be queued."""
    name, words = "main", step.split()
    if words[0].startswith("@"):
        name, words = words[0], words[1:]
    if words[0] == "sleep":
        time.sleep(int(words[1]) / 1000)
        return None
    if words[0] == "expire":
        key, milliseconds = words[1:]
        server.call(name, ["SET", key, "1", "PX", milliseconds])
        until = time.monotonic() + PATIENCE_SECONDS
        while not any([gone, key] in server.commands()[server.seen :] for gone in ("DEL", "UNLINK")):
            assert time.monotonic() < until, f"{key} has not expired"
            time.sleep(0.01)
        return server.added()
    if words[0].startswith("!"):
        words[0] = words[0][1:]
        before = server.waiters()
        server.send(name, words)
        while server.waiters() != before + 1:
            time.sleep(0.005)
        return server.added()
    server.call(name, words)
    if words[0] == "MULTI":
        server.queues = True
    if words[0] == "EXEC":
        server.queues = False
    return None if getattr(server, "queues", False) else server.added()


def steps(text=STEPS):
    return [step.strip() for line in text.strip().splitlines() for step in line.split("|")]


def compare(larder, peer):
    """Plays all steps on both; answers the differences."""
    differences = []
    more = steps(CONDITIONAL) if peer.knows("DELIFEQ") else []
    for step in steps() + more:
        mine, theirs = play(larder, step), play(peer, step)
        if step.startswith("@") or (mine is None and theirs is None):
            continue
        if normal(mine or []) != normal(theirs or []):
            differences.append((step, mine, theirs))
    return differences


def main(larder_program, peer_program):
    with tempfile.TemporaryDirectory() as folder:
        larder = Server(larder_program, Path(folder) / "larder")
        within = Path(peer_program[1]) / "tmp" if peer_program[0] == "chroot" else None
        with tempfile.TemporaryDirectory(dir=within) as peer_folder:
            peer = Server(peer_program, Path(peer_folder))
            try:
                return compare(larder, peer)
            finally:
                larder.stop()
                peer.stop()


if __name__ == "__main__":
    for step, mine, theirs in main([sys.argv[1], "node"], sys.argv[2:] or ["redis-server"]):
        print(step, "\n  larder:", mine, "\n  peer:  ", theirs)
