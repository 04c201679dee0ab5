"""S3 by the program s3tool, against a server that is not ours (radosgw), and a bad day of it.

Where a checksum, a region or a fault is wanted, tests/double/s3faults.py stands before it.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "double"))

from s3faults import S3Faults  # noqa: E402
from s3server import OWNER, missing, s3server  # noqa: E402,F401

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

S3TOOL = os.environ.get("S3TOOL", "build/tests/integration/s3tool")
END_S = 60
MIB = 1 << 20
BUCKET = "bucket-1"


@pytest.fixture(scope="module")
def front(s3server):  # noqa: F811
    s3server.make_bucket(BUCKET)
    with S3Faults(s3server) as f:
        yield f


@pytest.fixture(autouse=True)
def clean(front):
    front.bucket_regions.clear()
    front.clear()


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        counts = [line for line in err.splitlines() if line.startswith("counts: ")]
        numbers = list(map(int, counts[0].split()[1:])) if counts else [0] * 6
        self.requests, _, _, self.sent, _, self.peak_kib = numbers
        self.errno = err.rsplit("errno: ", 1)[1].strip() if "errno: " in err else None

    def listing(self):
        """[(size, etag, key)]"""
        return [(int(size), etag, key) for size, etag, key in
                (line.split(" ", 2) for line in self.out.decode().splitlines())]


class Tool:
    def __init__(self, front, s3, path):
        self.front, self.path = front, path
        self.env = {**os.environ, **s3.variables(), "AWS_ENDPOINT_URL_S3": front.url}
        self.processes = []

    def start(self, *words, bucket=BUCKET, env=None):
        err = open(self.path / "stderr", "w+b")
        process = subprocess.Popen([S3TOOL, bucket, *map(str, words)], stdout=subprocess.PIPE,
                                   stderr=err, env={**self.env, **(env or {})})
        process.err = err
        self.processes.append(process)
        return process

    def finish(self, process):
        out, _ = process.communicate(timeout=END_S)
        process.err.seek(0)
        wait_until(lambda: self.front.at_once == 0)  # it counts after it has answered
        return Result(process.returncode, out, process.err.read().decode())

    def try_to(self, *words, **more):
        return self.finish(self.start(*words, **more))

    def __call__(self, *words, **more):
        result = self.try_to(*words, **more)
        assert result.status == 0, result.err
        return result

    def file(self, size, name="input"):
        path = self.path / name
        path.write_bytes(os.urandom(size))
        return path


@pytest.fixture
def tool(front, s3server, tmp_path):  # noqa: F811
    t = Tool(front, s3server, tmp_path)
    yield t
    for process in t.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.err.close()


@pytest.fixture
def key(request):
    return "in/" + request.node.name


def count(front, operation):
    total = front.totals().get(operation)
    return total.count if total else 0


def uploads(s3, key):
    listed = s3.client().list_multipart_uploads(Bucket=BUCKET, Prefix=key)
    return [u["UploadId"] for u in listed.get("Uploads", ()) if u["Key"] == key]


def wait_until(true, seconds=END_S):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


# What goes up comes down.


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 16 * MIB + 1, 100 * MIB])
@pytest.mark.parametrize("checksums", ["yes", "no"])
def test_there_and_back(tool, key, front, s3server, size, checksums):  # noqa: F811
    path = tool.file(size)
    put = tool("checksums=" + checksums, "put", path, key)
    parts = 0 if size <= 16 * MIB else -(-size // (16 * MIB))
    assert count(front, "UploadPart") == parts
    assert count(front, "PutObject") == (0 if parts else 1)
    assert size <= put.sent < size + 4096
    assert uploads(s3server, key) == []
    tool("checksums=" + checksums, "get", key, tool.path / "output")
    assert path.read_bytes() == (tool.path / "output").read_bytes()
    assert count(front, "GetObject") == -(-size // (16 * MIB))
    other = s3server.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert other == path.read_bytes()
    assert not (tool.path / "output.tmp").exists()


def test_memory_does_not_grow_with_size(tool, key):
    """What is mapped and what is on its way: parts, and not the file."""
    path = tool.file(256 * MIB)
    put = tool("parallel=2", "put", path, key)
    get = tool("parallel=2", "get", key, tool.path / "output")
    assert put.peak_kib < 128 * 1024
    assert get.peak_kib < 160 * 1024


ODD = ["a b", "ü/ö", "a+b", "a%2Bb", "100%", "a/../b", "x//y", "./z", "q?a=b&c=d", "~'()*!@:;,$=#",
       "日本", "tab\tx", "\\back", "<&\">", "emoji \U0001f600", "k" * 200]


def test_odd_keys(tool, s3server):  # noqa: F811
    for i, name in enumerate(ODD):
        path = tool.file(10 + i)
        tool("put", path, "odd/" + name)
        tool("get", "odd/" + name, tool.path / "output")
        assert path.read_bytes() == (tool.path / "output").read_bytes(), name
        assert tool("head", "odd/" + name).out.split()[0] == str(10 + i).encode()
    ours = [k for _, _, k in tool("ls", "odd/").listing()]
    assert sorted(ours) == sorted("odd/" + name for name in ODD)
    assert sorted(s3server.keys(BUCKET, "odd/")) == sorted(ours)
    for name in ODD:
        tool("rm", "odd/" + name)
    assert tool("ls", "odd/").out == b""


def test_a_long_list(tool, s3server, front):  # noqa: F811
    """Three pages; in the order of bytes; nothing of other prefixes."""
    names = [f"many/{i:04} ü" for i in range(2500)]
    client = s3server.client()
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=BUCKET, Key=name, Body=b""), names))
    client.put_object(Bucket=BUCKET, Key="many0", Body=b"")
    listing = tool("ls", "many/").listing()
    assert [k for _, _, k in listing] == names
    assert count(front, "ListObjectsV2") == 3


def test_deleting_twice(tool, key):
    tool("put", tool.file(1), key)
    tool("rm", key)
    tool("rm", key)
    result = tool.try_to("get", key, tool.path / "output")
    assert result.errno == "ENOENT" and f"there is no s3://{BUCKET}/{key}" in result.err
    assert list(tool.path.glob("output*")) == []


# Ends before the end.


def test_kill_and_go_on(tool, key, front, s3server):  # noqa: F811
    """Parts that are there are not sent again, and it is one upload all the time."""
    path = tool.file(100 * MIB)
    front.fault("UploadPart", "slow", count=-1, value=0.3)
    process = tool.start("parallel=2", "resume=yes", "put", path, key)
    wait_until(lambda: count(front, "UploadPart") >= 3)
    process.send_signal(signal.SIGKILL)
    assert tool.finish(process).status == -signal.SIGKILL
    [upload] = uploads(s3server, key)
    there = s3server.client().list_parts(Bucket=BUCKET, Key=key, UploadId=upload)["Parts"]
    assert 3 <= len(there) <= 5
    front.clear()
    result = tool("resume=yes", "put", path, key)
    assert count(front, "UploadPart") == 7 - len(there)
    assert count(front, "CreateMultipartUpload") == 0
    assert result.sent < (7 - len(there)) * 16 * MIB + 4096
    assert uploads(s3server, key) == []
    tool("get", key, tool.path / "output")
    assert path.read_bytes() == (tool.path / "output").read_bytes()

    front.clear()  # and once it is there, nothing is sent at all
    assert tool("resume=yes", "put", path, key).sent == 0
    assert count(front, "CreateMultipartUpload") == count(front, "UploadPart") == 0


def test_a_kill_before_the_end_is_told(tool, key, front, s3server):  # noqa: F811
    """The answer to Complete is lost: what is there is found, and not sent again."""
    path = tool.file(33 * MIB)
    front.fault("CompleteMultipartUpload", "lost", count=-1)
    tool.try_to("put", path, key, env={"AWS_MAX_ATTEMPTS": "1"})
    front.clear()
    tool("resume=yes", "put", path, key)
    assert count(front, "UploadPart") == 0
    assert s3server.client().head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 33 * MIB
    assert uploads(s3server, key) == []


def test_other_content_is_sent_again(tool, key, front, s3server):  # noqa: F811
    front.fault("UploadPart", "500", count=-1, skip=2)
    assert tool.try_to("parallel=1", "put", tool.file(50 * MIB), key).errno == "EAGAIN"
    assert len(uploads(s3server, key)) == 1  # left for the next time
    front.clear()
    path = tool.file(50 * MIB)
    tool("resume=yes", "put", path, key)
    assert count(front, "UploadPart") == 4
    assert s3server.client().get_object(Bucket=BUCKET, Key=key)["Body"].read() == \
        path.read_bytes()


def test_abort(tool, key, front, s3server):  # noqa: F811
    client = s3server.client()
    for name in (key, key, key + "2"):
        client.create_multipart_upload(Bucket=BUCKET, Key=name)
    tool("abort", key)
    assert uploads(s3server, key) == []
    assert len(uploads(s3server, key + "2")) == 1
    tool("abort", key)


def test_what_is_refused_leaves_no_parts(tool, key, front, s3server):  # noqa: F811
    front.fault("UploadPart", "denied", count=-1, skip=1)
    result = tool.try_to("put", tool.file(50 * MIB), key)
    assert result.errno == "EACCES"
    assert f"s3:PutObject is needed on arn:aws:s3:::{BUCKET}/{key}" in result.err
    assert uploads(s3server, key) == []


# Bad days.


@pytest.mark.parametrize("operation,kind,times", [
    ("CompleteMultipartUpload", "lying", 2),
    ("CompleteMultipartUpload", "lost", 1),
    ("CompleteMultipartUpload", "503", 2),
    ("CreateMultipartUpload", "reset", 1),
    ("CreateMultipartUpload", "500", 2),
    ("UploadPart", "slowdown", 3),
    ("UploadPart", "reset", 2),
    ("UploadPart", "lost", 2),
    ("UploadPart", "baddigest", 1),
    ("UploadPart", "timeout", 2),
    ("HeadBucket", "503", 1),
])
def test_bad_uploads(tool, key, front, s3server, operation, kind, times):  # noqa: F811
    path = tool.file(40 * MIB)
    front.fault(operation, kind, count=times)
    tool("put", path, key)
    assert s3server.client().get_object(Bucket=BUCKET, Key=key)["Body"].read() == \
        path.read_bytes()


@pytest.mark.parametrize("kind,value", [
    ("cut", 0), ("cut", 1000000), ("reset", None), ("500", None), ("slowdown", None),
    ("rewrite", None),
])
def test_bad_downloads(tool, key, front, s3server, kind, value):  # noqa: F811
    path = tool.file(40 * MIB)
    s3server.client().put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    front.fault("GetObject", kind, count=2, value=value)
    tool("get", key, tool.path / "output")
    assert path.read_bytes() == (tool.path / "output").read_bytes()
    assert count(front, "GetObject") < 12


@pytest.mark.parametrize("size", [1000, 40 * MIB])
def test_damage_on_the_way_is_found(tool, key, front, size):
    """One range has another byte: the CRC32 of the whole, as it went up, tells."""
    path = tool.file(size)
    tool("put", path, key)
    front.fault("GetObject", "flip")
    tool("get", key, tool.path / "output")
    assert path.read_bytes() == (tool.path / "output").read_bytes()
    front.fault("GetObject", "flip", count=-1)
    result = tool.try_to("get", key, tool.path / "output2")
    assert result.errno == "EIO" and "damaged" in result.err
    assert list(tool.path.glob("output2*")) == []


@pytest.mark.parametrize("redirect", ["301", "400"])
def test_a_bucket_in_another_region(tool, key, front, redirect):
    front.redirect = redirect
    front.bucket_regions[BUCKET] = "eu-central-1"
    path = tool.file(20 * MIB)
    assert tool("region").out == b"eu-central-1\n"
    put = tool("put", path, key)
    tool("get", key, tool.path / "output")
    assert path.read_bytes() == (tool.path / "output").read_bytes()
    assert put.sent < 21 * MIB  # no body went to the wrong place


def test_a_disk_that_is_too_small(tool, key):
    disk = tool.path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk],
                                           check=False).returncode != 0:
        pytest.skip("no right to mount")
    try:
        tool("put", tool.file(2 * MIB), key)
        result = tool.try_to("get", key, disk / "output")
        assert result.errno == "ENOSPC" and "no room for the 2097152 bytes" in result.err
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


# Who may.


def test_whose_bucket_it_is(tool, key):
    path = tool.file(10)
    tool("owner=" + OWNER, "put", path, key)
    result = tool.try_to("owner=999999999999", "put", path, key)
    assert result.errno == "EACCES" and "of account 999999999999" in result.err


def test_without_rights(tool, key, s3server):  # noqa: F811
    s3server.make_user("stranger", "AKIASTRANGER00000001", "stranger-secret-1")
    env = {"AWS_ACCESS_KEY_ID": "AKIASTRANGER00000001",
           "AWS_SECRET_ACCESS_KEY": "stranger-secret-1"}
    tool("put", tool.file(10), key)
    for words, right in ((("put", tool.path / "input", key), "s3:PutObject"),
                         (("get", key, tool.path / "output"), "s3:GetObject"),
                         (("head", key), "s3:GetObject"), (("ls", "in/"), "s3:ListBucket"),
                         (("rm", key), "s3:DeleteObject")):
        result = tool.try_to(*words, env=env)
        assert result.errno == "EACCES" and right + " is needed on arn:aws:s3:::" in result.err
        assert "stranger-secret" not in result.err
    result = tool.try_to("ls", "", bucket="bucket-that-is-not-there")
    assert result.errno == "ENOENT" and "no bucket bucket-that-is-not-there" in result.err
