#!/usr/bin/python3
"""An S3 server that is not ours, for tests: Ceph's radosgw on loopback.

One monitor, one osd that keeps everything in memory, one gateway; ports that are free,
everything in a temporary directory; up in about two seconds.  The daemons die with the
process (rather: the thread) that started them, whatever it died of.

In a test:

	with S3Server() as s3:
	    s3.make_bucket("bucket-1")
	    s3.client().put_object(Bucket="bucket-1", Key="k", Body=b"x")

or the pytest fixture `s3server` (one a session; `from s3server import s3server`).  In a shell:

	s3server.py --bucket bucket-1 -- COMMAND...   the command, with AWS_ENDPOINT_URL_S3,
	                                              AWS_ACCESS_KEY_ID and so on set
	s3server.py --bucket bucket-1                 prints these as shell assignments and serves
	                                              until its standard input or itself ends

It exits with 77, which meson reads as "skipped", where radosgw is not installed.

What radosgw lacks: it neither checks nor keeps x-amz-checksum-*, takes any region in a
signature, and has one region only; tests/double/s3faults.py, put in front of it, has these.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

PROGRAMS = ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin")
ACCESS_KEY = "AKIABATCHFSTEST00001"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYTESTKEY001"
OWNER = "111122223333"  # the first user's name: its buckets' owner
KMS_KEY = "11111111-2222-3333-4444-555555555555"  # the one there is
START_S = 60

CONF = """[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{mon_port}/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
ms_cluster_mode = crc
ms_service_mode = crc
ms_client_mode = crc
ms_bind_msgr1 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 1
mon_data_avail_crit = 0
osd_crush_chooseleaf_type = 0
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_objectstore = memstore
memstore_device_bytes = 4294967296
mon_data = {dir}/mon
osd_data = {dir}/osd
rgw_data = {dir}/rgw
run_dir = {dir}
crash_dir = {dir}
keyring = {dir}/keyring
log_file = {dir}/$name.log
mon_cluster_log_to_file = false
admin_socket =
pid_file =
rgw_frontends = beast endpoint=127.0.0.1:{rgw_port}
rgw_dns_name = s3.batch.example
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
rgw_multipart_min_part_size = 5242880
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}=YSBrZXkgb2YgMzIgYnl0ZXMsIGZvciBubyBvbmU6IDE=
"""


def missing():
    """Why there can be no server here, or None."""
    for program in PROGRAMS:
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"{program} is not installed (Debian: radosgw ceph-mon ceph-osd ceph-common)"
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        return "python3-botocore is not installed"
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For preexec_fn: a SIGKILL when the thread that started this process has ended."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class S3Server:
    """Start and stop by hand, or as a context manager."""

    def __init__(self):
        self.dir = None
        self.processes = []
        self.port = 0
        self.access_key, self.secret_key, self.region = ACCESS_KEY, SECRET_KEY, "us-east-1"
        self.clients = {}

    # --- life ---

    def start(self):
        reason = missing()
        if reason:
            raise RuntimeError(reason)
        for attempt in range(3):
            try:
                self.start_once()
                return self
            except (RuntimeError, subprocess.SubprocessError):
                said = self.logs()
                self.stop()
                if attempt == 2:
                    sys.stderr.write(said)
                    raise
        return self

    def start_once(self):
        self.dir = Path(tempfile.mkdtemp(prefix="batchfs-s3-"))
        for name in ("mon", "osd", "rgw"):
            (self.dir / name).mkdir()
        (self.dir / "keyring").touch()
        self.port = free_port()
        mon_port, fsid, osd = free_port(), str(uuid.uuid4()), str(uuid.uuid4())
        (self.dir / "ceph.conf").write_text(
            CONF.format(dir=self.dir, fsid=fsid, mon_port=mon_port, rgw_port=self.port,
                        kms_key=KMS_KEY))
        self.tool("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
                  f"[v2:127.0.0.1:{mon_port}]", "--set-min-mon-release", "16",
                  str(self.dir / "monmap"), conf=False)
        self.tool("ceph-mon", "-i", "a", "--mkfs", "--monmap", str(self.dir / "monmap"))
        self.daemon("ceph-mon", "-i", "a")
        self.tool("ceph", "osd", "new", osd)
        self.tool("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, "--no-mon-config")
        self.daemon("ceph-osd", "-i", "0")
        self.tool("radosgw-admin", "-n", "client.rgw", "user", "create", f"--uid={OWNER}",
                  "--display-name=owner", f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}",
                  "--caps", "users=*")
        self.daemon("radosgw", "-n", "client.rgw")
        self.await_gateway()

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("CEPH_")}
        env["PATH"] = env.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        return env

    def tool(self, *words, conf=True):
        words = [words[0], *(["-c", str(self.dir / "ceph.conf")] if conf else []), *words[1:]]
        done = subprocess.run(words, env=self.environment(), cwd=self.dir, timeout=START_S,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              preexec_fn=die_with_parent)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stderr}")

    def daemon(self, *words):
        with open(self.dir / (words[0] + ".out"), "wb") as out:
            self.processes.append(subprocess.Popen(
                [words[0], "-c", str(self.dir / "ceph.conf"), *words[1:], "-f"],
                env=self.environment(), cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, preexec_fn=die_with_parent, start_new_session=True))

    def await_gateway(self):
        deadline = time.monotonic() + START_S
        while True:
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError("radosgw did not come up") from None
                time.sleep(0.05)

    def stop(self):
        """At once: what they hold is in memory and for nobody."""
        self.clients.clear()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes = []
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None

    def logs(self):
        texts = []
        for file in sorted(self.dir.glob("*.out")) + sorted(self.dir.glob("*.log")):
            texts.append(f"--- {file.name}\n" + file.read_text(errors="replace")[-2000:])
        return "\n".join(texts)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- use ---

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def variables(self):
        """The environment of a program that is to use this server as its owner."""
        return {"AWS_ENDPOINT_URL_S3": self.endpoint, "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region, "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    def client(self, access_key=None, secret_key=None, endpoint=None):
        """A botocore S3 client; kept, and safe for threads."""
        import botocore.config
        import botocore.session

        who = (access_key or self.access_key, secret_key or self.secret_key,
               endpoint or self.endpoint)
        if who not in self.clients:
            self.clients[who] = botocore.session.Session().create_client(
                "s3", region_name=self.region, endpoint_url=who[2], aws_access_key_id=who[0],
                aws_secret_access_key=who[1],
                config=botocore.config.Config(s3={"addressing_style": "path"},
                                              max_pool_connections=32,
                                              retries={"max_attempts": 2}))
        return self.clients[who]

    def admin(self, method, query):
        """The gateway's own interface for users and keys."""
        import http.client
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method, f"{self.endpoint}/admin/user?{query}")
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3",
                    self.region).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, f"/admin/user?{query}", headers=dict(request.headers))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} /admin/user?{query}: {answer.status} {body!r}")
        return json.loads(body) if body else None

    def make_user(self, name, access_key, secret_key):
        """A user with no right to anybody's bucket."""
        from urllib.parse import urlencode

        self.admin("PUT", urlencode({"uid": name, "display-name": name, "key-type": "s3",
                                     "access-key": access_key, "secret-key": secret_key}))

    def add_key(self, name, access_key, secret_key):
        """One more key of a user (OWNER is the first)."""
        from urllib.parse import urlencode

        self.admin("PUT", "key&" + urlencode({"uid": name, "key-type": "s3",
                                              "access-key": access_key,
                                              "secret-key": secret_key, "generate-key": "False"}))

    def make_bucket(self, name, users=()):
        """A bucket of the owner's; the users named may read, write and list too."""
        s3 = self.client()
        s3.create_bucket(Bucket=name)
        if users:
            s3.put_bucket_policy(Bucket=name, Policy=json.dumps({
                "Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Action": "s3:*",
                    "Principal": {"AWS": [f"arn:aws:iam:::user/{u}" for u in users]},
                    "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}]}))

    def keys(self, bucket, prefix=""):
        """The keys below a prefix, in order."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket,
                                                                        Prefix=prefix)
        return [row["Key"] for page in pages for row in page.get("Contents", ())]


try:
    import pytest
except ImportError:  # only the shell's way is left
    pass
else:
    @pytest.fixture(scope="session")
    def s3server():
        reason = missing()
        if reason:
            pytest.skip(reason)
        with S3Server() as server:
            yield server


def serve_shell(command, variables):
    """The command with these variables, or these as assignments until the input ends."""
    if command:
        return subprocess.run(command, check=False, preexec_fn=die_with_parent,
                              env={**os.environ, **variables}).returncode
    for name, value in variables.items():
        print(f"export {name}='{value}'", flush=True)
    sys.stdin.read()
    return 0


def main():
    parser = argparse.ArgumentParser(description="radosgw on loopback, for tests")
    parser.add_argument("--bucket", action="append", default=[], help="make this bucket")
    parser.add_argument("command", nargs="*", help="after --: run this, then end")
    options = parser.parse_args()
    reason = missing()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 77
    # SystemExit unwinds through the context manager, which stops the daemons.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with S3Server() as server:
        for bucket in options.bucket:
            server.make_bucket(bucket)
        return serve_shell(options.command, server.variables())


if __name__ == "__main__":
    sys.exit(main())
