#!/usr/bin/python3
"""Does a record cost the same in a job of ten thousand and of ten million?

One job of local: a size, cut into parts of 100,000, from the copy into the mount
to the results read.  In each phase: CPU time and the most anonymous memory of the
daemon.  The reference, measured just before each, is what plain programs take to
copy such records and to read them twice; only ratios to it mean anything.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from mountkit import ENDS, Memory, Mount  # noqa: E402

QUICK = "--quick" in sys.argv
SIZES = [int(n) for n in os.environ.get("BENCH_SCALE", "10000,100000" if QUICK else
                                        "10000,100000,1000000,10000000").split(",")]
PART = int(os.environ.get("BENCH_PART", 100_000))
DEDUPE = os.environ.get("BENCH_DEDUPE", "no")
ANON_MAX_MIB = 192
GROWTH_MAX = 1.5  # of the sum, the largest size to the smallest: what a cache of the CPU makes
BYTES_EACH = 2200  # on the disk, all in all
ROUNDS_FOR = 100_000
REFERENCE = 300_000
LOOKUPS = 1000

PHASES = ("copied in", "uploading", "running", "joining", "listed", "streams read", "files read",
          "mounted again")
APART = ("mounted again", "files read")  # of a mount, and of one file


def cpu_of(pid):
    """Seconds, of all its threads there ever were: what clock_getcpuclockid(3) gives."""
    return time.clock_gettime(~pid << 3 | 2)


def run(command):
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL)


def write_input(path, count):
    """Records of 150 bytes."""
    with open(path, "wb", buffering=1 << 20) as f:
        for i in range(count):
            f.write(b'{"recordId":"rec-%06d","modelInput":{"max_tokens":100,"messages":'
                    b'[{"role":"user","content":"What is to be said of %06d, in few words?"}]}}\n'
                    % (i, i))


def reference(work):
    """CPU seconds a record of: copy them, count their words, look for records in them."""
    def used():
        u = resource.getrusage(resource.RUSAGE_CHILDREN)
        return u.ru_utime + u.ru_stime

    source = work / "reference.jsonl"
    write_input(source, REFERENCE)
    began = used()
    run(f"cp {source} {source}.copy && wc {source}.copy && "
        f"grep -c '^{{\"recordId\":\"[a-z]*-[0-9]*\",\"model[A-Z].*}}$' {source}.copy")
    took = used() - began
    source.unlink()
    os.unlink(f"{source}.copy")
    return took / REFERENCE


class Job:
    """The whole way of one job; a row a phase: CPU seconds, wall seconds, MiB anonymous.

    Small ones are done several times, so that as many records are behind each number.
    """

    def __init__(self, work, count):
        self.work, self.count, self.rows = Path(work) / f"n{count}", count, {}
        self.rounds = max(1, max(SIZES[0], min(SIZES[-1], ROUNDS_FOR)) // count)
        self.mount = Mount(self.work / "m", os.environ["BATCHFS_BIN"],
                           {"submit": "manual", "settle": "0.1", "poll": "0.2",
                            "max_records_per_job": str(PART), "dedupe": DEDUPE})
        self.memory = Memory(self.mount)
        self.phase, self.began, self.plain = None, None, 0

    def enter(self, phase):
        """What was used since the last call was the phase's before."""
        now = (cpu_of(self.mount.proc.pid), time.perf_counter())
        if self.phase:
            cpu, wall, anon = self.rows.get(self.phase, (0, 0, 0))
            self.rows[self.phase] = (cpu + now[0] - self.began[0], wall + now[1] - self.began[1],
                                     max(anon, self.memory.anon / 1024))
        self.memory.anon = 0
        self.phase, self.began = phase, now

    def follow(self, job):
        """From submitted to ended."""
        names = {"Uploading": "uploading", "Fetching": "joining"}
        before, idle = None, 0.01 if self.count < 1_000_000 else 0.1
        while True:
            status = job.status()
            if status in ENDS:
                return status
            phase = names.get(status, "running")
            if phase != before:
                self.enter(phase)
                before = phase
            time.sleep(idle)

    def read_results(self, job):
        self.enter("listed")
        run(f"cd {job}/output && ls -f | wc -l")
        self.enter("files read")
        rng = random.Random(1)
        for _ in range(LOOKUPS):
            number = rng.randrange(self.count)
            (job / "text" / f"rec-{number:06d}.txt").read_bytes()
        self.enter("streams read")
        run(f"cat {job}/output.jsonl {job}/results.csv")
        self.enter(None)

    def run_once(self, source, name):
        job = self.mount.job(name)
        self.enter("copied in")
        run(f"cp {source} {job}/input.jsonl")
        (job / "model").write_text("builtin.echo\n")
        job.wait_state("Held", timeout=3600)
        self.enter("uploading")
        job.ctl("submit")
        end = self.follow(job)
        assert end == "Completed", (end, job.read("error"))
        self.read_results(job)

    def start_again(self):
        self.mount.stop()
        self.mount.start(timeout=120)
        self.began, self.phase = (0, time.perf_counter()), "mounted again"
        (self.mount.dir / "job1" / "text" / "rec-000001.txt").read_bytes()
        self.enter(None)

    def measure(self):
        source = self.work / "in.jsonl"
        try:
            write_input(source, self.count)
            self.plain = reference(self.work)
            self.mount.start()
            self.memory.start()
            for number in range(self.rounds):
                self.run_once(source, f"job{number + 1}")
            source.unlink()
            self.start_again()
            self.memory.over.set()
            self.mount.stop()
        finally:
            self.mount.clear()
            shutil.rmtree(self.work, ignore_errors=True)
        return self

    def per_record(self, phase):
        """CPU time, to the reference's."""
        number = LOOKUPS if phase == "files read" else self.count
        return self.rows[phase][0] / self.rounds / number / self.plain

    def total(self):
        return sum(self.per_record(p) for p in PHASES if p not in APART)


def report(jobs):
    print(f"{'records in a job':18}" + "".join(f"{j.count:>14,}" for j in jobs))
    print(f"{'reference, us':18}" + "".join(f"{j.plain * 1e6:14.2f}" for j in jobs))
    for phase in PHASES[:-1]:
        print(f"{phase:18}" + "".join(f"{j.per_record(phase):14.2f}" for j in jobs))
    print(f"{'all of a record':18}" + "".join(f"{j.total():14.2f}" for j in jobs))
    for title, column in (("seconds of wall time", 1), ("MiB anonymous, at most", 2)):
        print(title)
        for phase in PHASES:
            print(f"{phase:18}" + "".join(f"{j.rows[phase][column]:14.2f}" for j in jobs))


def main(work):
    jobs, over = [], []
    for count in SIZES:
        if shutil.disk_usage(work).free < count * BYTES_EACH * 1.2:
            print(f"{count:,} records: skipped, for there is no room for them on the disk")
            continue
        jobs.append(Job(work, count).measure())
        print(f"{count:,} records done, {max(r[2] for r in jobs[-1].rows.values()):.1f} MiB",
              flush=True)
    report(jobs)
    growth = jobs[-1].total() / jobs[0].total()
    anon = max(row[2] for j in jobs for row in j.rows.values())
    print(f"a record of the largest job takes {growth:.2f} times the CPU of one of the smallest")
    print(f"at most {anon:.1f} MiB anonymous")
    if growth > GROWTH_MAX:
        over.append("growth")
    if anon > ANON_MAX_MIB:
        over.append("memory")
    if over and "--check" in sys.argv:
        print("over the bar: " + ", ".join(over))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
