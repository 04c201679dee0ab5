"""docs/semantics.md, "wait and next": they block, are not listed, and cost no thread."""

import os
import signal
import subprocess
import threading
import time

import pytest

from inputs import records
from mountkit import mounted, sh, until


def cat(path):
    return subprocess.Popen(["cat", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def blocked(proc):
    time.sleep(0.3)
    return proc.poll() is None


@pytest.mark.parametrize("file", ["wait", "next"])
def test_it_is_not_listed_but_can_be_opened(draft, file):
    assert file not in os.listdir(draft)
    assert os.path.exists(draft / file)
    assert file not in sh(f"find {draft}", check=0).stdout.split()


@pytest.mark.short
def test_wait_parks_through_draft_settling_and_running_and_gives_the_end(draft):
    proc = cat(draft / "wait")
    assert blocked(proc)
    draft.fill(records(10), "builtin.slow", "delay_ms = 50\n")
    assert proc.communicate(timeout=20)[0] == "Completed\n"
    assert proc.returncode == 0


def test_wait_right_after_echo_does_not_return_draft(mount, name):
    for i in range(5):
        job = mount.job(f"{name}-{i}")
        (job / "input.jsonl").write_bytes(b"".join(records(1)))
        done = sh(f"echo builtin.echo > {job}/model; cat {job}/wait", check=0, timeout=20)
        assert done.stdout == "Completed\n"


def test_wait_on_an_ended_job_answers_at_once_every_time(mount, name):
    job = mount.run(name, records(1))
    for _ in range(3):
        assert sh(f"cat {job}/wait", check=0, timeout=5).stdout == "Completed\n"


def test_wait_answers_once_per_open_then_end_of_file(mount, name):
    job = mount.run(name, records(1))
    with open(job / "wait", encoding="utf-8") as f:
        assert f.read() == "Completed\n"
        assert f.read() == ""


def test_wait_read_in_small_pieces_gives_the_whole_word(mount, name):
    job = mount.run(name, records(1))
    assert sh(f"dd if={job}/wait bs=3 status=none", check=0, timeout=5).stdout == "Completed\n"


def test_wait_right_after_retry_waits_for_the_end_of_the_retry(mount, name):
    job = mount.run(name, records(50), "builtin.fail", "delay_ms = 20\n")
    assert job.status() == "CompletedWithErrors"
    done = sh(f"echo retry > {job}/ctl; cat {job}/wait", check=0, timeout=20)
    assert done.stdout == "Completed\n"


@pytest.mark.short
def test_next_returns_at_any_change_since_open(draft):
    proc = cat(draft / "next")
    assert blocked(proc)
    draft.fill(records(3))
    out, _ = proc.communicate(timeout=10)
    assert out.strip() in ("Draft", "Settling", "Held")
    draft.wait_end()


def test_next_loses_no_change_between_open_and_read(draft):
    with open(draft / "next", encoding="utf-8") as f:
        draft.fill(records(3))
        draft.wait_end()
        assert f.read() == "Completed\n"  # does not block: things have changed since the open


def test_next_in_a_loop_sees_the_end(draft):
    loop = f"while read -r word < {draft}/next; do echo $word; case $word in Completed) break;; " \
           "esac; done"
    proc = subprocess.Popen(["bash", "-c", loop], stdout=subprocess.PIPE, text=True)
    time.sleep(0.2)
    draft.fill(records(20), "builtin.slow", "delay_ms = 30\n")
    out, _ = proc.communicate(timeout=20)
    assert out.split()[-1] == "Completed"


def test_two_hundred_waiters_cost_no_thread_each(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    os.stat(job / "wait")
    before = mount.thread_count()
    procs = [cat(job / "wait") for _ in range(200)]
    try:
        time.sleep(0.5)
        assert all(p.poll() is None for p in procs)
        assert mount.thread_count() <= before + 12
        # and the mount is as quick as before
        began = time.monotonic()
        for _ in range(50):
            job.status()
        assert time.monotonic() - began < 2
        job.fill(records(2))
        assert {p.communicate(timeout=20)[0] for p in procs} == {"Completed\n"}
    finally:
        for p in procs:
            p.kill()


@pytest.mark.short
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("file", ["wait", "next"])
def test_a_signal_frees_the_reader_at_once(draft, file, number):
    proc = cat(draft / file)
    assert blocked(proc)
    began = time.monotonic()
    proc.send_signal(number)
    proc.wait(timeout=5)
    assert time.monotonic() - began < 1
    assert draft.status() == "Draft"


def test_a_caught_signal_frees_the_reader_too(draft):
    """A shell with a trap, Python with a handler: the read says EINTR."""
    script = ("import signal, sys, os\n"
              "def stop(*a): raise KeyboardInterrupt\n"
              "signal.signal(signal.SIGINT, stop)\n"
              f"fd = os.open('{draft}/wait', os.O_RDONLY)\n"
              "print('up', flush=True)\n"
              "try: os.read(fd, 100)\n"
              "except KeyboardInterrupt: print('freed')\n")
    proc = subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE, text=True)
    assert proc.stdout.readline() == "up\n"
    assert blocked(proc)
    proc.send_signal(signal.SIGINT)
    assert proc.communicate(timeout=5)[0] == "freed\n"


def test_waiters_of_a_removed_draft_are_freed(mount, name):
    job = mount.job(name)
    proc = cat(job / "wait")
    assert blocked(proc)
    sh(f"rm -r {job}", check=0)
    proc.communicate(timeout=5)


def test_waiters_go_on_over_a_rename(mount, name):
    job = mount.job(name)
    proc = cat(job / "wait")
    assert blocked(proc)
    os.rename(job.path, f"{job}-2")
    type(job)(f"{job}-2").fill(records(1))
    assert proc.communicate(timeout=20)[0] == "Completed\n"


def test_a_non_blocking_wait_can_be_polled(draft):
    import select
    fd = os.open(draft / "wait", os.O_RDONLY)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(200) == []
        draft.fill(records(1))
        assert poller.poll(15_000)
        assert os.read(fd, 100) == b"Completed\n"
    finally:
        os.close(fd)


def test_unmounting_frees_the_waiters_and_the_daemon_ends(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    procs = [cat(job / "wait") for _ in range(10)]
    time.sleep(0.4)
    mount.proc.send_signal(signal.SIGTERM)
    assert mount.proc.wait(15) == 0
    for p in procs:
        p.communicate(timeout=5)
    assert not mounted(mount.dir)


def test_threads_of_one_program_wait_side_by_side(draft):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(draft.read("wait")))
               for _ in range(20)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    draft.fill(records(1))
    for t in threads:
        t.join(20)
    assert answers == ["Completed\n"] * 20


def test_no_reader_is_left_behind_when_many_come_and_go(mount, draft):
    before = mount.fd_count()
    for _ in range(100):
        proc = cat(draft / "wait")
        time.sleep(0.01)
        proc.kill()
        proc.communicate()
    until(lambda: mount.fd_count() <= before + 5, 5, "descriptors leak")
    assert draft.status() == "Draft"
