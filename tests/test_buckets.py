"""Snapshots to and from the buckets of a server that speaks S3 (moto's), and what is said when that cannot be used."""

import pytest

from aws_server import AwsServer
from service import Service, wait_until
from test_snapshots import code, connect, describe, done

KEY = {"LARDER_S3_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "LARDER_S3_SECRET_ACCESS_KEY": "not-so-secret"}


class S3(AwsServer):
    """moto's server, and a client of its buckets."""

    def __init__(self):
        super().__init__()
        self.client = super().client("s3")

    def keys(self, bucket):
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.fixture
def s3():
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def service(tmp_path, s3):
    service = Service(tmp_path / "data", options=["--s3-endpoint", s3.endpoint], environment=KEY)
    try:
        yield service.start()
    finally:
        service.clean_up()


def seeded(api, name, arn):
    return api.create_cache_cluster(CacheClusterId=name, Engine="valkey", CacheNodeType="cache.t3.small", SnapshotArns=[arn])


def test_exported_and_seeded(service, s3):
    api = service.client()
    node = connect(service.create("books", CacheNodeType="cache.t3.small"))
    # More than one part of an upload.
    blob = "".join(chr(33 + n * 7 % 90) for n in range(1000))
    with node.pipeline(transaction=False) as pipe:
        for n in range(30_000):
            pipe.set(f"k{n}", f"{n}{blob}{n * n}")
        pipe.execute()
    api.create_snapshot(CacheClusterId="books", SnapshotName="first")
    done(api, "first")
    export = {"SourceSnapshotName": "first", "TargetSnapshotName": "out", "TargetBucket": "backups"}
    assert code(lambda: api.copy_snapshot(**export)) == "InvalidParameterValue", "there is no bucket"
    s3.client.create_bucket(Bucket="backups")
    assert api.copy_snapshot(**export)["Snapshot"]["SnapshotStatus"] == "exporting"
    done(api, "first")
    assert s3.keys("backups") == ["out-0001.rdb"]
    stored = s3.client.get_object(Bucket="backups", Key="out-0001.rdb")["Body"].read()
    assert stored == (service.folder / "snapshots/first/0001.rdb").read_bytes()
    assert code(lambda: api.copy_snapshot(**export)) == "InvalidParameterValue", "the object is there"

    seeded(api, "again", "arn:aws:s3:::backups/out-0001.rdb")
    again = connect(service.available("again"))
    assert again.dbsize() == 30_000 and again.get("k77") == f"77{blob}{77 * 77}"
    assert not [p for p in (service.folder / "seeds").rglob("*") if p.is_file()], "it is not kept any longer"
    s3.client.put_object(Bucket="backups", Key="deep/er/bad.rdb", Body=b"REDIS0011 this is no such file")
    seeded(api, "broken", "arn:aws:s3:::backups/deep/er/bad.rdb")
    wait_until("it is given up", lambda: service.describe("broken")["CacheClusterStatus"] == "restore-failed")
    service.delete("broken")
    assert not [p for p in (service.folder / "seeds").rglob("*") if p.is_file()]
    for arn in ("arn:aws:s3:::backups/nosuch.rdb", "arn:aws:s3:::nosuch/x.rdb"):
        assert code(lambda: seeded(api, "x1", arn)) == "InvalidParameterValue"


def test_a_server_that_is_away(service, s3):
    api = service.client()
    s3.client.create_bucket(Bucket="backups")
    connect(service.create("books")).set("k", "v")
    api.create_snapshot(CacheClusterId="books", SnapshotName="first")
    done(api, "first")
    api.copy_snapshot(SourceSnapshotName="first", TargetSnapshotName="out", TargetBucket="backups")
    done(api, "first")
    stored = s3.client.get_object(Bucket="backups", Key="out-0001.rdb")["Body"].read()
    s3.stop()
    # Nobody is told that there is no such bucket when nobody knows.
    with pytest.raises(Exception, match="cannot be used"):
        seeded(api, "x1", "arn:aws:s3:::backups/out-0001.rdb")
    with pytest.raises(Exception, match="cannot be used"):
        api.copy_snapshot(SourceSnapshotName="first", TargetSnapshotName="out2", TargetBucket="backups")
    s3.start()  # with nothing in it
    s3.client.create_bucket(Bucket="backups")
    s3.client.put_object(Bucket="backups", Key="out-0001.rdb", Body=stored)
    seeded(api, "again", "arn:aws:s3:::backups/out-0001.rdb")
    # The service dies while the cache is being made; the next one goes on.
    service.kill()
    service.start()
    assert connect(service.available("again")).get("k") == "v"
    assert describe(api, "first")["SnapshotStatus"] == "available"


def test_options_that_do_not_fit(service):
    for options in (["--s3-region", "x"], ["--s3-endpoint", "http://127.0.0.1:1", "--buckets", "x"],
                    ["--s3-endpoint", "http://127.0.0.1:1", "--s3-access-key-id", "x"]):
        refused = service.larder("up", *options, check=False)
        assert refused.returncode == 2, options
