"""The bedrock: source under test: a double of the service, a real S3 server, mounts of it.

	cloud		the double, S3 and the faults before it; as new for each test
	new_bedrock	new_bedrock(options): a mount of the test's own, not started yet
	sdk		the official SDK, as somebody elsewhere

One server a session; each test has a bucket's prefix and a service of its own.
"""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import mountkit
from inputs import line

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "double"), str(ROOT / "tests" / "integration")]

BUCKET = "batch-bucket"
ROLE = "arn:aws:iam::111122223333:role/BatchRole"
CLAUDE = "us.anthropic.claude-sonnet-4-6"
NOVA = "amazon.nova-micro-v1:0"

# Small jobs and short times; whoever tests a limit or a time sets it anew.
QUICK = {"role": ROLE, "region": "us-east-1", "settle": "0.05", "settle_input": "0.3",
         "poll": "0.1", "min_records": "3", "create_grace": "1",
         "results_grace": "0"}

prefixes = itertools.count(1)


class Cloud:
    """Everything that is not the mount."""

    def __init__(self, s3, double, front):
        self.s3, self.double, self.front = s3, double, front
        self.knobs = double.knobs
        self.prefix = None

    def reset(self):
        self.double.reset()
        self.front.clear()
        self.knobs.min_records = 3
        self.knobs.durations.update(Submitted=0.02, Validating=0.03, Scheduled=0.03,
                                    InProgress=0.15)
        self.prefix = f"run-{next(prefixes)}"

    @property
    def source(self):
        return f"bedrock:{BUCKET}/{self.prefix}"

    def keys(self):
        return self.s3.keys(BUCKET, self.prefix + "/")

    def only_job(self):
        """The one job there is in the service."""
        jobs = self.double.jobs()
        assert len(jobs) == 1, [j.name for j in jobs]
        return jobs[0]

    def put_input(self, name, lines):
        """An input put into S3 by somebody; its URI."""
        key = f"{self.prefix}/elsewhere/{name}/in.jsonl"
        self.s3.client().put_object(Bucket=BUCKET, Key=key, Body=b"".join(lines))
        return f"s3://{BUCKET}/{key}"

    def job_input(self, name, uri, model=CLAUDE, **more):
        """The input of a create, as the SDK takes it."""
        return {"jobName": name, "roleArn": ROLE, "modelId": model,
                "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
                "outputDataConfig": {"s3OutputDataConfig": {
                    "s3Uri": uri.rpartition("/")[0] + "/out/"}}, **more}


class BedrockMount(mountkit.Mount):
    def __init__(self, base, binary, cloud, options=None):
        super().__init__(base, binary)
        self.source, self.cloud = cloud.source, cloud
        self.options = {k: v for k, v in {**QUICK, **(options or {})}.items() if v is not None}
        self.variables = cloud.double.variables(cloud.front.url)
        self.extra = ()

    def environment(self):
        env = {k: v for k, v in super().environment().items() if not k.startswith("AWS_")}
        return {**env, "HOME": str(self.base), **self.variables}

    def command(self, *extra):
        return super().command(*extra, *self.extra)

    def job_at(self, name):
        """A directory that is there already."""
        return mountkit.Job(self.dir / name)

    def run_job(self, name, lines, model=CLAUDE, config=None, timeout=30):
        return super().run(name, lines, model, config, timeout)

    def once(self, *words, timeout=60):
        """A run of the program that does not mount, as --check."""
        return subprocess.run([self.binary, *words, self.source, "-o", ",".join(
            f"{k}={v}" for k, v in self.options.items())], env=self.environment(), text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)

    def use_process(self, seconds=3600):
        """Keys from a program that asks the double for a new session each time."""
        script = self.base / "keys"
        script.write_text(f"#!/bin/sh\necho x >> {self.base}/keys.log\n"
                          f"exec curl -s '{self.cloud.double.url}/-/credentials"
                          f"?seconds={seconds}'\n")
        script.chmod(0o755)
        config = self.base / "aws-config"
        config.write_text(f"[default]\nregion = us-east-1\ncredential_process = {script}\n")
        self.variables = {k: v for k, v in self.variables.items()
                          if k not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        self.variables["AWS_CONFIG_FILE"] = str(config)

    def keys_asked(self):
        file = self.base / "keys.log"
        return len(file.read_text().split()) if file.exists() else 0


class KillAt:
    """Kills the daemon at the n-th request, before or after the server has acted on it.

    Of those only whose method and target match the pattern.  The thread that kills holds
    the answer back until the daemon is dead."""

    def __init__(self, mount, n, side, pattern=""):
        self.mount, self.n, self.side, self.pattern = mount, n, side, re.compile(pattern)
        self.seen, self.at, self.lock = 0, None, threading.Lock()
        self.done = threading.Event()
        mount.cloud.double.watch = mount.cloud.front.watch = self

    def __call__(self, where, side, request):
        method = getattr(request, "method", None) or request.command
        target = getattr(request, "target", None) or request.path
        if side != self.side or not self.pattern.search(f"{method} {target}"):
            return
        with self.lock:
            self.seen += 1
            if self.seen != self.n:
                return
            self.at = (side, where, method, target)
        self.mount.proc.kill()
        self.mount.proc.wait()
        self.done.set()

    def off(self):
        self.mount.cloud.double.watch = self.mount.cloud.front.watch = None


def prompts(lines):
    """recordId -> the user's text, of records in Claude's or Nova's shape."""
    found = {}
    for number, item in enumerate(lines, 1):
        record = json.loads(item)
        content = record["modelInput"]["messages"][0]["content"]
        if isinstance(content, list):
            content = content[0]["text"]
        found[record.get("recordId", f"r{number:07d}")] = content
    return found


def with_media(count, *names):
    """Records in Nova's shape, each with one of the files of media/."""
    return [line({"recordId": f"m{i}", "modelInput": {
        "messages": [{"role": "user", "content": [
            {"text": f"what is {i}"},
            {"image": {"format": "png", "source": {
                "s3Location": {"uri": f"media://{names[i % len(names)]}"}}}}]}],
        "inferenceConfig": {"maxTokens": 50}}}) for i in range(count)]


def check_complete(job, lines):
    """Every record of lines has its one good result, in the order of the input."""
    from answers import answer_text

    asked = prompts(lines)
    rows = [json.loads(item) for item in job.lines()]
    assert [r["recordId"] for r in rows] == list(asked)
    assert job.lines("errors.jsonl") == [] == job.lines("retry.jsonl")
    assert len(os.listdir(job / "text")) == len(asked) == len(os.listdir(job / "output"))
    for rid in list(asked)[::max(1, len(asked) // 20)]:
        wanted = (answer_text(asked[rid]) + "\n").encode()
        assert (job / "text" / f"{rid}.txt").read_bytes() == wanted
    with open(job / "results.csv", encoding="utf-8", newline="") as f:
        table = list(csv.DictReader(f))
    assert [row["record_id"] for row in table] == list(asked)
    assert {row["status"] for row in table} == {"good"}


@pytest.fixture(scope="session")
def cloud_session():
    from s3server import S3Server, missing

    reason = missing()
    if reason:
        pytest.skip(reason)
    from double import Double
    from s3faults import S3Faults

    with S3Server() as s3, Double(s3) as double, S3Faults(s3, double) as front:
        double.make_bucket(BUCKET)
        yield Cloud(s3, double, front)


@pytest.fixture
def cloud(cloud_session):
    cloud_session.reset()
    yield cloud_session
    complaints = list(cloud_session.double.plane.complaints)
    cloud_session.reset()
    assert complaints == []


@pytest.fixture
def new_bedrock(binary, base, cloud):
    help_text = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    if "bedrock:" not in help_text.stdout:
        pytest.skip("this batchfs has no bedrock: source")
    with mountkit.looked_after(base, lambda place, *words, **named: BedrockMount(
            place, binary, cloud, *words, **named)) as make:
        yield make


@pytest.fixture
def sdk(cloud):
    from sdkkit import Sdk, Unavailable

    try:
        return Sdk(cloud.double.variables(cloud.s3.endpoint))
    except Unavailable as e:
        pytest.skip(f"the official SDK: {e}")
