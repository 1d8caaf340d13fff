"""Input from people who mean harm, or whose program is broken: answered or dropped cleanly, in bounded memory."""

import datetime
import http.client
import os
import random
import socket
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pymemcache
import pytest
import redis

from service import REGION, endpoint_of, next_network, Service

# What the service may grow by under any of this. A request body is bounded far below.
GROWTH_BYTES_MAX = 96 << 20


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("hostile") / "data", next_network())
    try:
        yield service.start()
    finally:
        service.clean_up()


@pytest.fixture(autouse=True)
def stays_up(victim):
    """After each test the same process still serves, and has not grown out of its bounds."""
    pid, before = victim.process.pid, victim.rss_bytes()
    yield
    assert victim.answers() and victim.process.pid == pid
    assert victim.rss_bytes() - before < GROWTH_BYTES_MAX
    assert victim.client().describe_cache_clusters()["ResponseMetadata"]["HTTPStatusCode"] == 200


def signed(service, body, at=None, key=None, secret=None, region=REGION, name="elasticache"):
    """Headers of a POST of `body`, signed as botocore signs."""
    credentials = botocore.credentials.Credentials(
        key or service.info["access_key_id"], secret or service.info["secret_access_key"]
    )
    request = botocore.awsrequest.AWSRequest(
        "POST", service.endpoint + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    signer = botocore.auth.SigV4Auth(credentials, name, region)
    if at is None:
        signer.add_auth(request)
    else:
        real = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: at
        try:
            signer.add_auth(request)
        finally:
            botocore.auth.get_current_datetime = real
    headers = dict(request.prepare().headers)
    headers.pop("Content-Length", None)  # of the body that was signed; what is sent may be another one
    return headers


def send(service, body, headers, method="POST", path="/"):
    """(status, code of the error, text) of one raw request."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        try:
            connection.request(method, path, body=body, headers=headers)
        except ConnectionError:
            pass  # it would not read the rest; the answer may be there all the same
        try:
            answer = connection.getresponse()
            text = answer.read().decode()
        except ConnectionError:
            return 413, "Dropped", ""
        assert answer.getheader("x-amzn-requestid"), "each answer has a request id"
        code = text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else None
        return answer.status, code, text
    finally:
        connection.close()


def form(action, **parameters):
    return urllib.parse.urlencode({"Action": action, "Version": "2015-02-02", **parameters}).encode()


LIST = form("DescribeCacheClusters")


# -- signatures -------------------------------------------------------------------------------------------------


def test_an_unsigned_call(victim):
    assert send(victim, LIST, {"Content-Type": "application/x-www-form-urlencoded"})[:2] == (
        403, "MissingAuthenticationToken")


def test_a_wrong_secret(victim):
    assert send(victim, LIST, signed(victim, LIST, secret="wrong"))[:2] == (403, "SignatureDoesNotMatch")


def test_an_unknown_key(victim):
    assert send(victim, LIST, signed(victim, LIST, key="AKIAXXXXXXXXEXAMPLE0"))[:2] == (403, "InvalidClientTokenId")


def test_a_body_that_was_changed_after_signing(victim):
    assert send(victim, form("DescribeEvents"), signed(victim, LIST))[:2] == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_call_of_another_time(victim, minutes):
    at = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(minutes=minutes)
    status, code, text = send(victim, LIST, signed(victim, LIST, at=at))
    assert (status, code) in ((403, "SignatureDoesNotMatch"), (400, "RequestExpired")), text


def test_another_service_or_region(victim):
    for wrong in ({"name": "s3"}, {"region": "eu-west-9"}):
        status, code, _ = send(victim, LIST, signed(victim, LIST, **wrong))
        assert status in (400, 403, 404) and code


@pytest.mark.parametrize("authorization", [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=",
    "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/elasticache/aws4_request, SignedHeaders=host, Signature=" + "f" * 64,
    "Basic dXNlcjpwYXNz",
    "AWS4-HMAC-SHA256 " + "x=y," * 2000,
], ids=range(6))
def test_broken_authorization_headers(victim, authorization):
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": authorization,
               "X-Amz-Date": "20260101T000000Z"}
    status, code, text = send(victim, LIST, headers)
    assert status in (400, 403), text
    assert code, text


def test_a_header_that_is_no_text(victim):
    request = b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: \x7f\x00\xff\r\nContent-Length: 0\r\n\r\n"
    assert poke(("127.0.0.1", victim.port), request).startswith(b"HTTP/1.1 4")


# -- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body, expected", [
    (form("NoSuchAction"), (400, "InvalidAction")),
    (form("CreateServerlessCache"), (400, "InvalidAction")),
    (b"Version=2015-02-02", (400, "MissingAction")),
    (b"", (400, "MissingAction")),
    (form("CreateCacheCluster"), (400, "MissingParameter")),
    (form("DescribeCacheClusters", MaxRecords="19"), (400, "InvalidParameterValue")),
    (form("DescribeCacheClusters", MaxRecords="many"), (400, None)),
    (form("DescribeCacheClusters", MaxRecords="9" * 40), (400, None)),
    (form("DescribeCacheClusters", Marker="nonsense"), (400, "InvalidParameterValue")),
    (form("DescribeCacheClusters", ShowCacheNodeInfo="perhaps"), (400, None)),
    (form("DescribeCacheClusters", CacheClusterId="nobody"), (404, "CacheClusterNotFound")),
    (form("CreateCacheCluster", CacheClusterId="-x-", Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes="1"),
     (400, "InvalidParameterValue")),
    (form("CreateCacheCluster", CacheClusterId="x", Engine="redis", CacheNodeType="cache.z9.none", NumCacheNodes="1"),
     (400, "InvalidParameterValue")),
    (form("CreateCacheCluster", CacheClusterId="x", Engine="mysql", CacheNodeType="cache.t3.micro", NumCacheNodes="1"),
     (400, "InvalidParameterValue")),
    (form("CreateCacheCluster", CacheClusterId="x", Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes="-1"),
     (400, None)),
], ids=range(15))
def test_wrong_parameters(victim, body, expected):
    status, code, text = send(victim, body, signed(victim, body))
    assert status == expected[0], text
    assert code == expected[1] if expected[1] else code, text


@pytest.mark.parametrize("body", [
    form("DescribeCacheClusters", CacheClusterId="a" * 1_000_000),
    form("CreateCacheCluster", CacheClusterId="a" * 1_000_000, Engine="redis", CacheNodeType="cache.t3.micro",
         NumCacheNodes="1"),
    form("DescribeCacheClusters", Marker="%" * 300_000),
    form("ListTagsForResource", ResourceName="arn:" * 150_000),
    form("DescribeCacheClusters", CacheClusterId="a" * (1 << 20)),
], ids=["describe", "create", "marker", "arn", "beyond the bound of a body"])
def test_a_megabyte_where_a_name_belongs(victim, body):
    status, code, text = send(victim, body, signed(victim, body))
    assert status in (400, 404, 413), text[:500]
    assert len(text) < 64 << 10, "the answer does not repeat the megabyte"


def test_a_parameter_twice(victim):
    body = form("DescribeCacheClusters") + b"&CacheClusterId=a&CacheClusterId=b"
    status, code, _ = send(victim, body, signed(victim, body))
    assert status in (400, 404) and code


@pytest.mark.parametrize("extra", [
    b"&=", b"&&&&", b"&%", b"&%zz=%zz", b"&a=%ff%fe", b"&.=1", b"&a.b.c.d.e.f.g.h.i=1", b"&Tags.Tag.999999999999.Key=x",
    b"&Tags.Tag.0.Key=x", b"&Tags.Tag.-1.Key=x", b"&Tags=x&Tags.Tag.1.Key=y", b"&" + b"." * 5000 + b"=1",
    b"&" + b"a." * 5000 + b"b=1",
], ids=range(13))
def test_names_that_make_no_tree(victim, extra):
    body = form("CreateCacheCluster", CacheClusterId="never", Engine="redis", CacheNodeType="cache.none") + extra
    status, code, text = send(victim, body, signed(victim, body))
    assert status in (400, 404), text[:500]
    assert code


def test_very_many_parameters(victim):
    body = form("DescribeCacheClusters") + b"".join(b"&p%d=1" % n for n in range(50_000))
    status, code, _ = send(victim, body, signed(victim, body))
    assert status in (200, 400, 404, 413)


def test_a_body_beyond_all_bounds(victim):
    body = b"Action=DescribeCacheClusters&x=" + b"a" * (64 << 20)
    try:
        status, _, _ = send(victim, body, {"Content-Type": "application/x-www-form-urlencoded"})
        assert status in (400, 403, 413)
    except (ConnectionError, http.client.HTTPException):
        pass  # hung up before we were done: as good


def test_a_tag_of_forbidden_content(victim):
    body = form("CreateCacheCluster", CacheClusterId="tagged", Engine="redis", CacheNodeType="cache.t3.micro",
                NumCacheNodes="1", **{"Tags.Tag.1.Key": "aws:mine", "Tags.Tag.1.Value": "x"})
    status, code, text = send(victim, body, signed(victim, body))
    assert (status, code) == (400, "InvalidParameterValue"), text


def test_markup_in_a_value_is_escaped_in_the_answer(victim):
    body = form("DescribeCacheClusters", CacheClusterId="</Message><Code>Owned</Code>&\x01")
    status, code, text = send(victim, body, signed(victim, body))
    assert status in (400, 404)
    assert "<Code>Owned" not in text and "\x01" not in text


# -- bytes ------------------------------------------------------------------------------------------------------


def poke(address, payload, kind=socket.SOCK_STREAM):
    """Sends bytes; answers what comes back, or nothing."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(2)
        try:
            sock.connect(address)
            sock.sendall(payload)
            if kind == socket.SOCK_STREAM:
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < 1 << 20:
                piece = sock.recv(65536)
                if not piece or kind == socket.SOCK_DGRAM:
                    return answer + piece
                answer += piece
            return answer
        except OSError:  # hung up, or silent
            return b""


def garbage(count, seed):
    """Reproducible rubbish, some of it beginning like something meaningful."""
    dice = random.Random(seed)
    begins = [b"", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"*3\r\n$3\r\nSET\r\n",
              b"*-1\r\n", b"*2147483647\r\n", b"$-5\r\n", b"set k 0 0 999999999\r\n", b"get " + b"k " * 3000, b"\x80\x01" * 4,
              b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
              b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"*1\r\n$536870913\r\n", b"*1\r\n$\xff\r\n", b"gets\r\n"]
    for _ in range(count):
        yield dice.choice(begins) + dice.randbytes(dice.choice([0, 1, 7, 100, 5000]))


def test_garbage_on_the_port_of_the_api(victim):
    for payload in garbage(200, seed=1):
        poke(("127.0.0.1", victim.port), payload)


def test_garbage_on_the_port_of_the_dns_server(victim):
    address = ("127.0.0.1", victim.dns_port)
    dice = random.Random(2)
    header = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    payloads = [b"", b"\x00", header, header + b"\x3f" + b"a" * 63, header + b"\xc0\x0c\x00\x01\x00\x01",
                b"\x12\x34\x01\x00" + b"\xff" * 8, header + b"\x01a" * 200 + b"\x00\x00\x01\x00\x01"]
    payloads += [dice.randbytes(dice.randrange(600)) for _ in range(200)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for payload in payloads:
            sock.sendto(payload, address)
    for payload in payloads[:20]:
        poke(address, len(payload).to_bytes(2, "big") + payload)
        poke(address, b"\xff\xff" + payload)
    # A question for a name that is not ours is answered all the same.
    question = header + b"\x07example\x03com\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(question, address)
        assert sock.recv(600)[:2] == b"\x12\x34"


def test_garbage_on_the_ports_of_caches(victim):
    sessions = endpoint_of(victim.create("garbage-redis"))
    pages = endpoint_of(victim.create("garbage-pages", engine="memcached"))
    keep_redis, keep_pages = redis.Redis(*sessions), pymemcache.Client(pages)
    keep_redis.set("k", "v")
    keep_pages.set("k", b"v")
    pids = victim.node_pids()
    for seed, address in enumerate([sessions, pages]):
        for payload in garbage(200, seed=10 + seed):
            poke(address, payload)
    assert keep_redis.get("k") == b"v"
    assert keep_pages.get("k") in (b"v", None)  # rubbish may have begun with `flush_all`
    assert victim.node_pids() == pids, "no node died"


def test_half_requests_do_not_hold_others_up(victim):
    halves = []
    for _ in range(200):
        sock = socket.create_connection(("127.0.0.1", victim.port), timeout=5)
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nAction=")
        halves.append(sock)
    assert victim.client().describe_cache_clusters()["CacheClusters"] is not None
    for sock in halves:
        sock.close()


def test_a_service_is_not_opened_to_web_pages(victim):
    """A page in a browser may send a form to 127.0.0.1, but it cannot sign it."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://example.org",
               "Cookie": "a=b", "Sec-Fetch-Mode": "cors"}
    status, code, _ = send(victim, form("DeleteCacheCluster", CacheClusterId="x"), headers)
    assert (status, code) == (403, "MissingAuthenticationToken")


def test_the_key_is_readable_by_its_owner_only(victim):
    assert os.stat(victim.folder / "service.json").st_mode & 0o077 == 0
    assert os.stat(victim.folder / "state.redb").st_mode & 0o077 == 0 or os.stat(victim.folder).st_mode & 0o077 == 0
