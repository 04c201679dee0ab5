"""docs/semantics.md, "Seeing changes": inotify, poll(2), tail -f, watch, until loops, make, find."""

import os
import select
import signal
import subprocess
import time

import pytest

from inputs import records
from mountkit import need, sh, until

SLOW = "delay_ms = 50\nparallel = 1\n"


def start(*command, **kw):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **kw)


def end(proc):
    proc.send_signal(signal.SIGTERM)
    try:
        return proc.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        proc.kill()
        raise


def test_inotifywait_sees_modify_and_close_write_when_the_state_changes(mount, draft):
    need("inotifywait")
    proc = start("inotifywait", "-m", "-e", "modify,close_write", "--format", "%e",
                 str(draft / "status"))
    try:
        assert "Setting up" in proc.stderr.readline()
        assert "established" in proc.stderr.readline()
        draft.fill(records(3))
        draft.wait_end()
        time.sleep(1)
    finally:
        out, _ = end(proc)
    assert "MODIFY" in out
    assert "CLOSE_WRITE" in out


def test_inotifywait_on_the_job_directory_names_status(mount, draft):
    need("inotifywait")
    proc = start("inotifywait", "-m", "-e", "close_write", "--format", "%f", str(draft))
    try:
        proc.stderr.readline()
        proc.stderr.readline()
        draft.fill(records(3))
        draft.wait_end()
        time.sleep(1)
    finally:
        out, _ = end(proc)
    assert "status" in out.split()


def test_a_single_inotifywait_ends_at_the_next_change(mount, draft):
    need("inotifywait")
    proc = start("inotifywait", "-e", "close_write", str(draft / "status"))
    proc.stderr.readline()
    proc.stderr.readline()
    draft.fill(records(3))
    assert proc.wait(timeout=20) == 0


def test_what_the_notifier_writes_changes_nothing(mount, name):
    job = mount.run(name, records(2))
    time.sleep(0.5)
    assert job.status() == "Completed"
    before = os.stat(job / "status").st_mtime_ns
    time.sleep(0.5)
    assert os.stat(job / "status").st_mtime_ns == before


def test_poll_wakes_when_the_state_has_changed_since_open(mount, draft):
    fd = os.open(draft / "status", os.O_RDONLY)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLPRI)
        assert poller.poll(300) == []
        draft.fill(records(2))
        assert poller.poll(10_000), "poll(2) did not wake"
    finally:
        os.close(fd)
    draft.wait_end()
    fd = os.open(draft / "status", os.O_RDONLY)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLPRI)
        assert poller.poll(300) == [], "nothing has changed since this open"
    finally:
        os.close(fd)


def test_poll_by_many_on_one_file_wakes_all(mount, draft):
    fds = [os.open(draft / "status", os.O_RDONLY) for _ in range(20)]
    try:
        pollers = []
        for fd in fds:
            poller = select.poll()
            poller.register(fd, select.POLLPRI)
            assert poller.poll(0) == []
            pollers.append(poller)
        draft.fill(records(2))
        for poller in pollers:
            assert poller.poll(10_000)
    finally:
        for fd in fds:
            os.close(fd)
    draft.wait_end()


def test_tail_f_follows_the_log(mount, draft):
    proc = start("tail", "-n", "+1", "-s", "0.2", "-f", str(draft / "log"))
    try:
        draft.fill(records(3))
        draft.wait_end()
        time.sleep(2)
    finally:
        out, _ = end(proc)
    assert "Completed" in out
    assert out == draft.read("log")[:len(out)]


def test_an_open_log_sees_the_growth(mount, draft):
    with open(draft / "log", encoding="utf-8") as f:
        first = f.read()
        draft.fill(records(2))
        draft.wait_end()
        more = until(lambda: f.read(), 5, "the log did not grow")
    assert draft.read("log").startswith(first + more)


def test_watch_sees_a_fresh_word_each_time(mount, draft):
    seen = []
    draft.fill(records(20), "builtin.slow", SLOW)

    def look():
        word = sh(f"cat {draft}/status", check=0).stdout.strip()
        if word not in seen:
            seen.append(word)
        return word == "Completed"

    until(look, 20, "not completed")
    assert len(seen) >= 2, seen


def test_an_until_loop_for_the_output_ends(mount, draft):
    proc = start("sh", "-c", "until test -e output.jsonl -o -s error; do sleep 0.1; done; echo over",
                 cwd=draft)
    time.sleep(0.3)
    draft.fill(records(2))
    out, _ = proc.communicate(timeout=15)
    assert out == "over\n"
    assert draft.status() == "Completed"


def test_an_until_loop_for_the_error_ends(mount, draft):
    proc = start("sh", "-c", "until test -e output.jsonl -o -s error; do sleep 0.1; done; cat error",
                 cwd=draft)
    sh(f"echo '[]' > {draft}/input.jsonl")
    out, _ = proc.communicate(timeout=15)
    assert "input.jsonl:1:" in out


@pytest.mark.short
def test_output_is_absent_until_the_job_has_ended(mount, draft):
    draft.fill(records(10), "builtin.slow", SLOW)
    absent = 0
    while True:
        there = os.path.exists(draft / "output.jsonl")
        word = draft.status()
        if there:
            assert draft.status() == "Completed"
            break
        assert word != "Completed" or os.path.exists(draft / "output.jsonl")
        absent += 1
        time.sleep(0.01)
    assert absent > 1


def test_make_builds_after_the_job_and_not_again(mount, draft, base):
    need("make")
    (base / "Makefile").write_text(
        f"out.csv: {draft}/output.jsonl\n\tcp {draft}/results.csv out.csv\n")
    assert sh("make -s", base).returncode != 0, "there is no output yet"
    draft.fill(records(3))
    draft.wait_end()
    sh("make -s", base, check=0)
    assert "up to date" in sh("make", base, check=0).stdout


def test_find_newer_tells_by_the_end_of_the_job(mount, draft, base):
    sh(f"touch {base}/before; sleep 0.05")
    draft.fill(records(3))
    draft.wait_end()
    sh(f"sleep 0.05; touch {base}/after")
    found = sh(f"find {draft}/output.jsonl -newer {base}/before ! -newer {base}/after", check=0)
    assert found.stdout.strip() == f"{draft}/output.jsonl"


def test_xargs_p_runs_many_jobs_and_waits_for_them(mount, base):
    (base / "in.jsonl").write_bytes(b"".join(records(3)))
    line = (f"mkdir par-{{}} && cp {base}/in.jsonl par-{{}}/input.jsonl && "
            "echo builtin.echo > par-{}/model && cat par-{}/wait")
    done = sh(f"seq 8 | xargs -P 8 -I{{}} sh -c '{line}'", mount.dir, check=0)
    assert done.stdout == "Completed\n" * 8
