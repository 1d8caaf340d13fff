"""COMMAND INFO and DOCS say of every command what the real servers say.

The peers are redis-server and the servers that LARDER_PEERS names (as in test_redis_dump.py). Where they differ among
each other, one of them must agree.
"""

import subprocess
import time

import pytest

from differential import Client
from ports import free_port
from service import PATIENCE_S
from test_acl import redis_server  # noqa: F401 (a fixture)
from test_redis_dump import PEERS

# What only we have, and what redis-server 7.0 still had otherwise. Notes are prose.
OURS = ("larder.", "debug|", "command|getkeys", "zrank", "zrevrank", "wait")


def flat(reply):
    kind, content = reply
    return [flat(item) for item in content] if isinstance(content, tuple) else content.decode() if isinstance(content, bytes) else content


def pairs(items):
    return dict(zip(items[::2], items[1::2]))


def key(specification):
    parts = pairs(specification)
    return sorted(parts["flags"]), parts["begin_search"], parts["find_keys"]


def describe(reply, into):
    for name, arity, flags, first, last, step, categories, tips, keys, subcommands in reply:
        into[name] = {"arity": arity, "flags": sorted(flags), "range": (first, last, step), "categories": sorted(categories),
                      "tips": sorted(tips), "keys": [key(one) for one in keys]}
        describe(subcommands, into)
    return into


def document(items, into):
    for name, facts in pairs(items).items():
        facts = pairs(facts)
        into[name] = {"since": facts.get("since"), "group": facts.get("group")}
        document(facts.get("subcommands", []), into)
    return into


KEYS_OF = """
    GET k | SET k v | SET k v GET | SET k get | ZINTER 9223372036854775807 a | SETEX k 1 v | MSET a 1 b 2 | BITFIELD k GET u8 0 | BITFIELD k SET u8 0 1 | BITOP AND d a b
    SORT k | SORT k STORE d | SORT_RO k | ZUNIONSTORE d 2 a b | ZINTER 2 a b | XREAD STREAMS a b 0 0 | COPY a b | RENAME a b
    XREADGROUP GROUP g c COUNT 1 STREAMS a b > > | LMOVE a b LEFT LEFT | LMPOP 2 a b LEFT | BLPOP a b 0 | BLMPOP 0 1 a LEFT
    GEORADIUS a 0 0 1 m STORE d | GETDEL a | PFCOUNT a b | PFMERGE d a | MEMORY USAGE k | OBJECT ENCODING k | LCS a b
    XGROUP CREATE k g 0 | XINFO STREAM k | OBJECT HELP | XGROUP CREATE k | MEMORY DOCTOR | SINTERSTORE d a b
    SMOVE a b m | HSET h f v | ZADD z 1 a | EXISTS a b | DEL a b | TOUCH a | RESTORE k 0 x | SINTERCARD 2 a b LIMIT 1
"""


def test_keys_of_commands_are_found_as_the_real_servers_do(redis_server, node):  # noqa: F811
    theirs, ours = Client(redis_server.port, 2), Client(node.port, 2)
    for command in KEYS_OF.replace("\n", "|").split("|"):
        for finder in ("GETKEYS", "GETKEYSANDFLAGS"):
            words = ["COMMAND", finder, *command.split()]
            if len(words) > 2:
                assert flat(ours.call(*words)) == flat(theirs.call(*words)), command


def ask(port):
    client = Client(port, 2)
    described = describe(flat(client.call("COMMAND")), {})
    for name, facts in document(flat(client.call("COMMAND", "DOCS")), {}).items():
        described.get(name, {}).update(facts)
    client.close()
    return described


@pytest.fixture(scope="module")
def peers():
    answers = []
    for command in PEERS:
        port = free_port()
        arguments = ["--port", str(port), "--save", "", "--dir", "/tmp", "--dbfilename", f"none-{port}.rdb"]
        process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answers.append(ask(port))
                break
            except ConnectionRefusedError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
        process.terminate()
        process.wait()
    return answers


@pytest.mark.skipif(not PEERS, reason="no server to compare with")
def test_every_command_is_described_as_in_the_original(node, peers):
    wrong = []
    for name, facts in ask(node.port).items():
        known = [peer[name] for peer in peers if name in peer]
        if not known or name.startswith(OURS):
            continue
        for fact, value in facts.items():
            if all(value != peer.get(fact) for peer in known):
                wrong.append(f"{name}: {fact} is {value}, not {known[0].get(fact)}")
    assert not wrong, "\n".join(wrong)
