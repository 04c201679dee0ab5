#!/usr/bin/python3
"""The measurements of tests/bench/run.sh.

Each row compares the mount with the bare file system of TMPDIR, one after the
other in the same run, the best of some rounds; only the ratio means anything.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from mountkit import Memory, Mount, mounted, until  # noqa: E402

QUICK = "--quick" in sys.argv
MIB = int(os.environ.get("BENCH_MIB", 128 if QUICK else 1024))
RECORDS = int(os.environ.get("BENCH_RECORDS", 5_000 if QUICK else 50_000))
ROUNDS = 3

# The most each ratio may be.  Measured ceilings of FUSE itself, and some room.
BARS = {"cp into a job": 2.2, "ls -l output, 1st": 1.5, "ls -l output, 2nd": 1.2,
        "cat output/*, 1st": 5, "cat output/*, 2nd": 3,
        "grep -r text/, 1st": 6.5, "grep -r text/, 2nd": 4}


def timed(command, cwd=None):
    began = time.perf_counter()
    subprocess.run(["bash", "-c", command], cwd=cwd, check=True, stdout=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def write_input(path, mib):
    """About mib MiB of records of 3.4 KiB, as a common input has."""
    filler = "The client says that the week was long, and that the walk by the river helped. " * 40
    size, number = 0, 0
    with open(path, "wb", buffering=1 << 20) as f:
        while size < mib << 20:
            number += 1
            size += f.write(b'{"recordId":"big-%08d","modelInput":{"max_tokens":300,"messages":'
                            b'[{"role":"user","content":"%d %s"}]}}\n'
                            % (number, number, filler.encode()))


def write_records(path, count):
    with open(path, "wb", buffering=1 << 20) as f:
        for i in range(count):
            words = f"record {i} " + "some words about the day " * (1 + i * 7919 % 60)
            f.write(b'{"recordId":"rec-%06d","modelInput":{"messages":[{"role":"user",'
                    b'"content":"%s"}]}}\n' % (i, words.encode()))


def best(measure, rounds=ROUNDS):
    return min(measure() for _ in range(rounds))


class Bench:
    def __init__(self, work):
        self.work = Path(work)
        self.mount = Mount(self.work / "m", os.environ["BATCHFS_BIN"],
                           {"settle": "0.1", "submit": "manual", "poll": "0.05"})
        self.memory = Memory(self.mount)
        self.over = []

    def row(self, what, bare, ours, other=None):
        ratio, bar = ours / bare, BARS.get(what)
        mark = ""
        if bar and ratio > bar:
            mark = f"  over {bar}"
            self.over.append(what)
        text = f"{other / bare:8.2f}" if other else "       -"
        print(f"{what:24} {bare:9.3f} {ours:9.3f} {ratio:8.2f} {text}{mark}", flush=True)

    def copy_in(self):
        source = self.work / "big.jsonl"
        write_input(source, MIB)
        timed(f"cat {source}")  # into the page cache

        def round_in(target):
            took = timed(f"cp {source} {target}")
            os.unlink(target)
            return took

        (self.work / "bare").mkdir()
        bare = best(lambda: round_in(self.work / "bare" / "x"))
        job = self.mount.job("big")
        ours = best(lambda: round_in(job / "input.jsonl"))
        other = self.passthrough(lambda top: best(lambda: round_in(top / "x")))
        self.row("cp into a job", bare, ours, other)
        print(f"{'':24} {MIB / bare:6.0f} MiB/s bare, {MIB / ours:.0f} MiB/s into the job, checked")
        source.unlink()

    def passthrough(self, measure):
        """measure(directory) on libfuse's passthrough_ll over the same disk; None without it."""
        program = os.environ.get("PASSTHROUGH_BIN")
        if not program:
            return None
        under, top = self.work / "under", self.work / "top"
        under.mkdir(exist_ok=True)
        top.mkdir(exist_ok=True)
        with subprocess.Popen([program, "-f", "-o", f"source={under}", str(top)],
                              stderr=subprocess.DEVNULL) as proc:
            try:
                until(lambda: mounted(top), 5, "passthrough_ll did not mount")
                return measure(top)
            finally:
                subprocess.run(["fusermount3", "-u", str(top)], check=False)
                proc.wait(10)

    def run_records(self):
        write_records(self.work / "in.jsonl", RECORDS)
        job = self.mount.job("small")
        timed(f"cp {self.work}/in.jsonl {job}/input.jsonl")
        (job / "model").write_text("builtin.echo\n")
        job.wait_state("Held", timeout=60)
        began = time.perf_counter()
        job.ctl("submit")
        assert (job / "wait").read_text() == "Completed\n"
        took = time.perf_counter() - began
        print(f"{'builtin.echo':24} {RECORDS / took:9.0f} records/s, submitted to readable")
        return job

    def read_results(self, job):
        bare = self.work / "bare" / "job"
        bare.mkdir()
        timed(f"cp -r {job}/output {job}/text {job}/output.jsonl {bare}")
        for what, command in (("ls -l output", "ls -l output"),
                              ("cat output/*", "cd output && cat *"),
                              ("grep -r text/", "grep -r 'no such words' text || true"),
                              ("cat output.jsonl", "cat output.jsonl")):
            timed(command, bare)
            usual = best(lambda c=command: timed(c, bare))
            first = []
            for _ in range(2):
                self.mount.restart()
                first.append(timed(command, job.path))
            second = best(lambda c=command: timed(c, job.path))
            self.row(f"{what}, 1st", usual, min(first))
            self.row(f"{what}, 2nd", usual, second)

    def main(self):
        print(f"{MIB} MiB, {RECORDS} records, on {self.work}")
        print(f"{'':24} {'bare s':>9} {'batchfs s':>9} {'ratio':>8} {'plain FUSE':>8}")
        self.mount.start()
        self.memory.start()
        try:
            self.copy_in()
            self.read_results(self.run_records())
            self.memory.over.set()
            print(f"{'memory, at most':24} {self.memory.anon / 1024:9.1f} MiB anonymous, "
                  f"{self.memory.rss / 1024:.1f} MiB with mapped results")
        finally:
            if self.mount.alive():
                self.mount.stop()
            self.mount.clear()
            shutil.rmtree(self.work / "m", ignore_errors=True)
        if self.over and "--check" in sys.argv:
            print("over the bar: " + ", ".join(self.over))
            return 1
        return 0


if __name__ == "__main__":
    sys.exit(Bench(sys.argv[1]).main())
