"""docs/semantics.md, "Times": nanoseconds, kept over restarts."""

import os
import time

import pytest

from inputs import records
from mountkit import need, sh, until

STAMP = 1_600_000_000_123456789


def times(job):
    return {name: os.stat(job / name).st_mtime_ns
            for name in sorted(os.listdir(job)) if name != "media"}


def test_times_set_on_user_files_are_kept_over_a_restart(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    (job / "input.jsonl").write_bytes(b"".join(records(2)))
    (job / "notes").write_text("x")
    for name in ("input.jsonl", "notes"):
        os.utime(job / name, ns=(STAMP, STAMP))
    mount.restart()
    for name in ("input.jsonl", "notes"):
        assert os.stat(job / name).st_mtime_ns == STAMP


def test_all_times_of_an_ended_job_are_kept_over_a_restart(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(3))
    before, directory = times(job), os.stat(job).st_mtime_ns
    mount.restart()
    time.sleep(0.3)
    after = times(job)
    assert {n: t for n, t in after.items() if n != "log"} == \
        {n: t for n, t in before.items() if n != "log"}
    assert os.stat(job).st_mtime_ns == directory


def test_the_time_of_the_output_is_the_end_and_does_not_move(mount, name):
    before = time.time_ns()
    job = mount.run(name, records(3))
    after = time.time_ns()
    ended = os.stat(job / "output.jsonl").st_mtime_ns
    assert before <= ended <= after
    time.sleep(0.6)
    job.read("output.jsonl")
    assert os.stat(job / "output.jsonl").st_mtime_ns == ended
    assert ended % 1_000_000 != 0 or ended % 1_000 != 0, "nanoseconds, not seconds"


def test_the_time_of_status_is_its_last_change(mount, draft):
    first = os.stat(draft / "status").st_mtime_ns
    time.sleep(0.1)
    assert os.stat(draft / "status").st_mtime_ns == first
    draft.fill(records(2))
    draft.wait_end()
    assert os.stat(draft / "status").st_mtime_ns > first


def test_reading_moves_no_time(mount, name):
    job = mount.run(name, records(3))
    before = times(job)
    sh(f"cat {job}/*.jsonl {job}/text/* > /dev/null; ls -lR {job} > /dev/null", check=0)
    assert times(job) == before


def test_the_time_of_a_directory_is_the_last_change_of_its_names(mount, name):
    job = mount.job(name)
    first = os.stat(job).st_mtime_ns
    time.sleep(0.05)
    (job / "notes").write_text("x")
    second = os.stat(job).st_mtime_ns
    assert second > first
    time.sleep(0.05)
    with open(job / "notes", "a") as f:
        f.write("y")
    assert os.stat(job).st_mtime_ns == second
    root = os.stat(mount.dir).st_mtime_ns
    time.sleep(0.05)
    mount.job(name + "-2")
    assert os.stat(mount.dir).st_mtime_ns > root


def test_touch_sets_the_time_given(draft):
    (draft / "input.jsonl").write_bytes(b"".join(records(1)))
    sh(f"touch -d '2021-02-03T04:05:06.123456789Z' {draft}/input.jsonl", check=0)
    assert os.stat(draft / "input.jsonl").st_mtime_ns == 1_612_325_106_123456789


def test_a_write_moves_the_time_of_a_user_file(draft):
    (draft / "notes").write_text("x")
    os.utime(draft / "notes", ns=(STAMP, STAMP))
    (draft / "notes").write_text("y")
    assert os.stat(draft / "notes").st_mtime_ns > STAMP


def test_rsync_after_a_restart_copies_nothing(new_mount, base):
    need("rsync")
    mount = new_mount().start()
    job = mount.run("one", records(5))
    sh(f"rsync -a {job}/ {base}/copy/", check=0)
    mount.restart()
    again = sh(f"rsync -a --itemize-changes --exclude=log {job}/ {base}/copy/", check=0).stdout
    assert again == ""


def test_inode_numbers_are_stable_and_distinct(mount, name):
    job = mount.run(name, records(50))

    def numbers():
        return {p: os.stat(p).st_ino for d in (job.path, job / "output", job / "text")
                for p in (os.path.join(d, n) for n in os.listdir(d))}

    first = numbers()
    assert len(set(first.values())) == len(first)
    assert numbers() == first
    with os.scandir(job / "output") as entries:
        assert all(e.inode() == first[e.path] for e in entries)


@pytest.mark.parametrize("when", ["running", "ended"])
def test_access_is_refused_to_times_of_generated_files_without_eperm(mount, name, when):
    job = mount.job(name)
    job.fill(records(20), "builtin.slow", "delay_ms = 50\nparallel = 1\n")
    job.wait_state("InProgress" if when == "running" else "Completed", timeout=20)
    try:
        os.utime(job / "status", ns=(STAMP, STAMP))
    except OSError as e:
        assert e.errno == 95, "success or ENOTSUP, never EPERM"
    until(lambda: job.status() == "Completed", 20, "no end")
