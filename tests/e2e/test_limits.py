"""docs/semantics.md, "Limits": many jobs, many records, little memory."""

import json
import os
import random
import time

import pytest

from inputs import records
from mountkit import Memory, sanitized, sh, until

ANON_MAX_KIB = 96 * 1024


def check_memory(mount, limit_kib=ANON_MAX_KIB):
    if not sanitized():
        assert mount.proc_status("RssAnon") < limit_kib


@pytest.mark.short
def test_twenty_jobs_at_once(mount, name):
    jobs = [mount.job(f"{name}-{i}") for i in range(20)]
    for job in jobs:
        job.fill(records(100), "builtin.slow", "delay_ms = 1\n")
    for job in jobs:
        assert job.wait_end() == "Completed"
        assert len(job.lines()) == 100
    sh(f"rm -r {name}-*", mount.dir, check=0)


@pytest.fixture(scope="module")
def big(module_mount):
    """A job of 50,000 records, shared by what looks at it."""
    job = module_mount.job("fifty-thousand")
    job.fill(records(50_000))
    assert job.wait_end(120) == "Completed"
    return job


@pytest.mark.limit(150)
def test_fifty_thousand_records_run_and_are_listed_once_each(mount, big):
    assert sh(f"ls {big}/output | wc -l", check=0).stdout.strip() == "50000"
    assert sh(f"ls -l {big}/text | grep -c txt", check=0).stdout.strip() == "50000"
    assert len(set(os.listdir(big / "output"))) == 50_000
    assert sh(f"wc -l < {big}/output.jsonl", check=0).stdout.strip() == "50000"
    check_memory(mount)


def test_random_lookups_among_fifty_thousand(mount, big):
    rng = random.Random(1)
    for number in rng.sample(range(1, 50_001), 2000):
        path = big / "text" / f"rec-{number:05d}.txt"
        assert path.read_text() == f"the text of rec-{number:05d}\n"
    for number in range(100):
        assert not os.path.exists(big / "text" / f"rec-{number:06d}.txt")
    check_memory(mount)


def test_grep_r_over_fifty_thousand(mount, big):
    out = sh(f"grep -rl 'the text of rec-4999' {big}/text | sort", check=0, timeout=50).stdout
    assert out.split() == [f"{big}/text/rec-{n:05d}.txt" for n in range(49990, 50000)]
    check_memory(mount)


def test_a_listing_goes_on_from_any_place(mount, big):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    for f in (libc.readdir, libc.telldir, libc.closedir):
        f.argtypes = [ctypes.c_void_p]
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

    def name_at(entry):
        return ctypes.string_at(entry + 19)

    stream = libc.opendir(os.fsencode(big / "output"))
    assert stream
    places = []
    for count in range(3000):
        place = libc.telldir(stream)
        entry = libc.readdir(stream)
        if count % 500 == 7:
            places.append((place, name_at(entry)))
    for place, expected in reversed(places):
        libc.seekdir(stream, place)
        assert name_at(libc.readdir(stream)) == expected
    libc.closedir(stream)


def test_memory_does_not_grow_over_passes(mount, big):
    if sanitized():
        pytest.skip("a sanitizer's memory tells nothing")
    sh(f"cat {big}/output.jsonl {big}/results.csv > /dev/null; ls -l {big}/output > /dev/null")
    before = mount.proc_status("RssAnon")
    for _ in range(5):
        sh(f"cat {big}/output.jsonl {big}/results.csv > /dev/null; ls -l {big}/output > /dev/null")
    assert mount.proc_status("RssAnon") <= before + 4096


def test_status_stays_quick_while_fifty_thousand_are_being_listed(mount, big):
    import subprocess
    proc = subprocess.Popen(["sh", "-c", f"for i in 1 2 3; do ls -l {big}/text; done"],
                            stdout=subprocess.DEVNULL)
    worst = 0.0
    while proc.poll() is None:
        began = time.monotonic()
        assert big.status() == "Completed"
        worst = max(worst, time.monotonic() - began)
    assert worst < (5 if sanitized() else 1)


def test_rm_r_of_fifty_thousand(new_mount):
    mount = new_mount().start()
    job = mount.job("big")
    job.fill(records(50_000))
    assert job.wait_end(120) == "Completed"
    sh(f"rm -r {job}", check=0, timeout=50)
    assert not os.path.exists(job)

    def space_is_free():
        return int(sh(f"du -sk {mount.state} {mount.cache} | awk '{{s+=$1}} END {{print s}}'",
                      check=0).stdout) < 4096

    until(space_is_free, 20, "the disk space was not given back")


def test_many_scratch_files_have_a_limit_with_a_clear_errno(draft):
    made = 0
    try:
        for made in range(6000):
            (draft / f"scratch-{made}").write_text("x")
    except OSError as e:
        assert e.errno in (28, 122, 31, 23), e  # ENOSPC, EDQUOT, EMLINK, ENFILE
    assert made >= 1000
    sh(f"rm -r {draft}", check=0)


def test_a_thousand_drafts(new_mount):
    mount = new_mount().start()
    for i in range(1000):
        os.mkdir(mount.dir / f"d{i:04d}")
    assert len([n for n in os.listdir(mount.dir) if n[0] == "d"]) == 1000
    check_memory(mount)
    mount.restart()
    assert len([n for n in os.listdir(mount.dir) if n[0] == "d"]) == 1000
    sh("rm -r d*", mount.dir, check=0, timeout=50)
    assert [n for n in os.listdir(mount.dir) if n[0] == "d"] == []


def run_in_parts(mount, base, count, size, limit_kib, timeout):
    """A job of count records in parts of size, looked through; the most memory it took is checked."""
    memory = Memory(mount)
    memory.start()
    job = mount.job("large")
    with open(base / "in.jsonl", "wb", buffering=1 << 20) as f:
        for i in range(count):
            f.write(b'{"recordId":"m%07d","modelInput":{"prompt":"text %d"}}\n' % (i, i))
    sh(f"cp {base}/in.jsonl {job}/input.jsonl", check=0, timeout=timeout)
    (job / "model").write_text("builtin.echo\n")
    assert job.wait_end(timeout) == "Completed"
    assert len(json.loads(job.read("status.json"))["parts"]) == count // size
    assert sh(f"ls -f {job}/output | wc -l", check=0, timeout=timeout).stdout == f"{count + 2}\n"
    assert job.read(f"text/m{count - 1:07d}.txt") == f"text {count - 1}\n"
    for number in random.Random(2).sample(range(count), 1000):
        assert job.read(f"text/m{number:07d}.txt") == f"text {number}\n"
    memory.over.set()
    memory.join()
    assert sanitized() or 0 < memory.anon < limit_kib
    return job


@pytest.mark.limit(150)
def test_memory_at_two_hundred_thousand_records_in_parts(new_mount, base):
    mount = new_mount({"max_records_per_job": "50000"}).start()
    run_in_parts(mount, base, 200_000, 50_000, 64 * 1024, 120)


@pytest.mark.slow
@pytest.mark.limit(900)
def test_a_million_records(new_mount, base):
    mount = new_mount({"max_records_per_job": "100000"}).start()
    job = run_in_parts(mount, base, 1_000_000, 100_000, 64 * 1024, 600)
    mount.restart()
    assert job.status() == "Completed" and job.read("text/m0000000.txt") == "text 0\n"


@pytest.mark.slow
@pytest.mark.limit(400)
def test_soak_jobs_come_and_go_for_three_minutes(new_mount):
    mount = new_mount().start()
    end, turn = time.monotonic() + 180, 0
    baseline = None
    while time.monotonic() < end:
        for model in ("builtin.echo", "builtin.fail", "builtin.slow"):
            job = mount.run(f"soak-{turn}", records(200), model)
            sh(f"grep -r text {job} > /dev/null; ls -lR {job} > /dev/null")
            sh(f"rm -r {job}", check=0)
            turn += 1
        if turn == 30:
            baseline = mount.proc_status("RssAnon"), mount.fd_count(), mount.thread_count()
    now = mount.proc_status("RssAnon"), mount.fd_count(), mount.thread_count()
    assert now[0] <= baseline[0] + 8192 and now[1] <= baseline[1] + 4 and now[2] <= baseline[2] + 4
