#!/usr/bin/python3
"""The measurements of tests/bench/run.sh of the bedrock: source.

Against the double of tests/double and the S3 server of tests/integration.  Times are compared
with those of the same steps by curl and by the AWS command line, each with its job of the same
records in the same run; requests and bytes are as the servers counted them.
"""

import itertools
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("e2e", "double", "integration")]

from bedrockkit import BUCKET, ROLE, BedrockMount, Cloud  # noqa: E402
from double import Double  # noqa: E402
from mountkit import until  # noqa: E402
from othertools import PAUSE, AwsCli, Curl  # noqa: E402
from s3faults import S3Faults, Total  # noqa: E402
from s3server import S3Server, missing  # noqa: E402

QUICK = "--quick" in sys.argv
MODEL = "us.anthropic.claude-sonnet-4-6"
SIZES = (1_000, 10_000) if QUICK else (1_000, 100_000)
MANY = 1_000 if QUICK else 10_000  # jobs in the service
OWN = (1, 100, int(os.environ.get("BENCH_JOBS", 200 if QUICK else 1_000)))  # made by the mount
SMALL = 3  # records of each, where it is the jobs that are many


def write_records(path, count):
    with open(path, "wb", buffering=1 << 20) as f:
        for i in range(count):
            words = f"record {i} " + "some words about the day " * (1 + i * 7919 % 20)
            f.write(b'{"recordId":"rec-%06d","modelInput":{"anthropic_version":'
                    b'"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user",'
                    b'"content":"%s"}]}}\n' % (i, words.encode()))


def request(name, uri, out):
    return {"jobName": name, "roleArn": ROLE, "modelId": MODEL,
            "clientRequestToken": f"token-of-{name}".ljust(33, "0"),
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": out}}}


def named(double, part):
    """The one job that has that in its name, once it is there."""
    return until(lambda: double.jobs(part), 60, f"no job {part} was created")[0]


def ended(job):
    with job.changed:
        assert job.changed.wait_for(lambda: not job.live, 300), f"{job.name} does not end"
    assert job.status == "Completed", f"{job.name}: {job.status} {job.message}"
    return job.ended


# --- times ---

class Ours:
    """The same steps through the mount."""

    name = "batchfs"

    def __init__(self, mount):
        self.mount, self.job = mount, None

    def submit(self, name, source):
        """When the last close() was called."""
        self.job = self.mount.job(name)
        subprocess.run(["cp", source, self.job / "input.jsonl"], check=True)
        model = open(self.job / "model", "w", encoding="utf-8")
        model.write(MODEL + "\n")
        model.flush()
        began = time.time()
        model.close()
        return began

    def collect(self, _name, _arn):
        subprocess.run(["bash", "-c", f"test $(cat {self.job}/wait) = Completed && "
                        f"cat {self.job}/output.jsonl >/dev/null"], check=True)


class Times:
    numbers = itertools.count(1)

    def __init__(self, double, base):
        self.double, self.base = double, base

    def once(self, tool, source):
        """Seconds: to created, ended to readable, and told of its end to readable."""
        name = f"{tool.name}-{next(self.numbers):03d}"
        before = time.time()
        began = tool.submit(name, source) or before
        job = named(self.double, name)
        tool.collect(name, job.arn)
        readable, end = time.time(), ended(job)
        told = min(r.at for r in self.double.seen() if r.at > end and r.operation in (
            "ListModelInvocationJobs", "GetModelInvocationJob"))
        return job.submitted - began, readable - end, readable - told

    def rows(self, tools, count):
        source = self.base / "in.jsonl"
        write_records(source, count)
        found = {}
        for tool in tools:
            took = [self.once(tool, source) for _ in range(3 if count <= 1000 else 2)]
            found[tool.name] = [min(column) for column in zip(*took)]
        source.unlink()
        for i, what in enumerate(("close to created", "ended to readable", "told to readable")):
            curl, aws, ours = (found[n][i] if n in found else None
                               for n in ("curl", "aws", "batchfs"))
            aws, ratio = (f"{aws:9.3f}", f"{ours / aws:8.2f}") if aws else ("        -", "       -")
            print(f"{f'{what}, {count:,}':28} {curl:9.3f} {aws} {ours:9.3f} {ours / curl:8.2f} "
                  f"{ratio}", flush=True)


# --- counts ---

class Counted:
    """What was asked of the servers meanwhile."""

    def __init__(self, cloud, mount):
        self.cloud, self.mount = cloud, mount
        self.skip = len(cloud.double.seen())
        self.s3 = self.of_s3()
        self.cpu = self.seconds()

    def of_s3(self):
        return {k: (t.count, t.bytes_in, t.bytes_out)
                for k, t in self.cloud.front.totals().items()}

    def seconds(self):
        """CPU time of the daemon."""
        with open(f"/proc/{self.mount.proc.pid}/stat", encoding="ascii") as f:
            words = f.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def seen(self, *operations):
        return [r for r in self.cloud.double.seen()[self.skip:]
                if not operations or r.operation in operations]

    def polls(self):
        """The lists that began: what follows has a token."""
        return [r for r in self.seen("ListModelInvocationJobs") if "nextToken" not in r.target]

    def rows(self):
        """operation -> Total"""
        found = {}
        for r in self.seen():
            to = found.setdefault(r.operation, Total())
            to.count, to.bytes_in, to.bytes_out = (to.count + 1, to.bytes_in + r.bytes_in,
                                                   to.bytes_out + r.bytes_out)
        for name, now in self.of_s3().items():
            count, taken, given = (a - b for a, b in zip(now, self.s3.get(name, (0, 0, 0))))
            if count:
                found[name] = Total(count, taken, given)
        return found


def sizes(total, share=1):
    """Requests, bytes sent and received, as the servers count them: bodies alone."""
    return (f"{total.count / share:9.1f} {total.bytes_in / share:11,.0f} "
            f"{total.bytes_out / share:11,.0f}")


def summed(totals):
    result = Total()
    for t in totals:
        result.count += t.count
        result.bytes_in += t.bytes_in
        result.bytes_out += t.bytes_out
    return result


def total_of(seen):
    return Total(len(seen), sum(r.bytes_in for r in seen), sum(r.bytes_out for r in seen))


def memory(mount):
    return (f"{mount.proc_status('VmRSS') / 1024:.1f} MiB resident, "
            f"{mount.proc_status('RssAnon') / 1024:.1f} anonymous")


class Counts:
    def __init__(self, cloud, new_mount):
        self.cloud, self.double, self.new_mount = cloud, cloud.double, new_mount

    @contextmanager
    def mount(self, options):
        """A mount that is not started yet, in a service without jobs."""
        self.cloud.reset()
        mount = self.new_mount(options)
        try:
            yield mount
            mount.stop()
        finally:
            mount.clear()

    def row(self, what, total, share=1, note=""):
        print(f"{what:38} {sizes(total, share)}{note}", flush=True)

    def polls(self, what, counted, note=""):
        polls = len(counted.polls())
        if polls:
            cpu = (counted.seconds() - counted.cpu) / polls * 1000
            self.row(what, total_of(counted.seen("ListModelInvocationJobs")), polls,
                     f"  {polls} polls, {cpu:.1f} ms of CPU each{note}")

    def own(self, count):
        """Jobs of the mount's: what each costs, and what the polls meanwhile."""
        options = {"poll": "1" if count <= 100 else "10", "create_every": "0"}
        with self.mount(options) as mount:
            self.cloud.knobs.max_jobs = 10**6
            mount.start()
            until(lambda: self.double.seen("ListInferenceProfiles"), 20, "no first poll")
            counted, began = Counted(self.cloud, mount), time.perf_counter()
            for i in range(count):
                self.make(mount, f"own-{i:05d}")
            self.await_jobs(mount, "Completed", count)
            took = time.perf_counter() - began
            rows = counted.rows()
            lists = rows.pop("ListModelInvocationJobs", Total())
            self.row(f"{count:,} made: per job", summed(rows.values()), count,
                     "  " + " ".join(f"{k} {t.count / count:.3g}"
                                     for k, t in sorted(rows.items())))
            polls = len(counted.polls())
            self.row(f"{count:,} made: per poll", lists, polls,
                     f"  {polls} polls in {took:.1f} s; {memory(mount)}")

    def make(self, mount, name):
        source = mount.base / "in.jsonl"
        if not source.exists():
            write_records(source, SMALL)
        job = mount.job(name)
        (job / "input.jsonl").write_bytes(source.read_bytes())
        (job / "model").write_text(MODEL + "\n")
        return job

    def await_jobs(self, mount, state, count):
        row = f'{{status="{state}"}} {count}\n'
        until(lambda: row in (mount.dir / ".batchfs" / "metrics").read_text(), 3600,
              f"not all are {state}", pause=0.5)

    def listed(self, count):
        """Jobs made elsewhere, that have ended."""
        with self.mount({"poll": "1"}) as mount:
            self.double.plant(count, bucket=BUCKET)
            self.start(mount, count, "first")
            mount.stop()
            self.start(mount, count, "second")
            self.cloud.knobs.durations["InProgress"] = 6.0
            counted = Counted(self.cloud, mount)
            self.make(mount, "one").wait_state("Completed", timeout=60)
            self.polls(f"{count:,} ended, 1 runs: per poll", counted)

    def start(self, mount, count, which):
        skip = len(self.double.seen())
        began = time.perf_counter()
        mount.start()
        up = time.perf_counter() - began
        until(lambda: len(os.listdir(mount.dir)) >= count, 600, "not all are listed")
        shown = time.perf_counter() - began
        until(lambda: [r for r in self.double.seen()[skip:]
                       if r.operation == "ListInferenceProfiles"], 600, "no first poll")
        time.sleep(0.5)
        lists = [r for r in self.double.seen()[skip:] if r.operation == "ListModelInvocationJobs"]
        self.row(f"{count:,} ended: {which} start's poll", total_of(lists), 1,
                 f"  up in {up:.2f} s, all shown in {shown:.2f} s; {memory(mount)}")

    def running(self, count):
        """Jobs made elsewhere, that run."""
        with self.mount({"poll": "1"}) as mount:
            self.double.plant(count, status="InProgress", bucket=BUCKET)
            mount.start()
            self.await_jobs(mount, "InProgress", count)
            time.sleep(2)
            counted = Counted(self.cloud, mount)
            time.sleep(10)
            self.polls(f"{count:,} run: per poll", counted, f"; {memory(mount)}")


# --- all of it ---

def main():
    work = Path(sys.argv[1]) / "bedrock"
    work.mkdir()
    reason = missing()
    if reason:
        print(f"bedrock: not measured: {reason}")
        return 0
    with S3Server() as s3, Double(s3) as double, S3Faults(s3, double) as front:
        double.make_bucket(BUCKET)
        cloud = Cloud(s3, double, front)
        numbers = itertools.count()

        def new_mount(options):
            return BedrockMount(work / f"m{next(numbers)}", os.environ["BATCHFS_BIN"], cloud,
                                {"settle": "0", "settle_input": "0", **options})

        if "--counts" not in sys.argv:
            measure_times(cloud, work, new_mount)
        print(f"\n{'':38} {'requests':>9} {'sent B':>11} {'received B':>11}")
        counts = Counts(cloud, new_mount)
        for count in OWN:
            counts.own(count)
        for count in (1, 100, MANY):
            counts.listed(count)
            counts.running(count)
    return 0


def measure_times(cloud, work, new_mount):
    cloud.reset()
    mount = new_mount({"poll": str(PAUSE)})
    mount.variables = cloud.double.variables()  # straight to the S3 server, for all
    given = work, cloud.double.variables(), BUCKET, cloud.prefix, request
    tools = [Curl(*given), AwsCli(*given), Ours(mount)]
    tools = [t for t in tools if t.name == "batchfs" or t.version]
    print(f"bedrock: poll={PAUSE}, as the others look; " +
          ", ".join(t.version for t in tools if t.name != "batchfs"))
    print(f"{'':28} {'curl s':>9} {'aws s':>9} {'batchfs s':>9} {'to curl':>8} {'to aws':>8}")
    mount.start()
    try:
        for count in SIZES:
            Times(cloud.double, work).rows(tools, count)
    finally:
        if mount.alive():
            mount.stop()
        mount.clear()


if __name__ == "__main__":
    sys.exit(main())
