"""docs/semantics.md, "Restart and crash": kill -9 at any instant, and every job is found once."""

import json
import os
import random
import time
from collections import Counter

import pytest

from inputs import ids_of, records
from mountkit import sh, until

# Answers each record, and writes down that it did before the answer leaves.
COUNTER = """#!/usr/bin/python3
import json, os, sys, time
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
for line in sys.stdin:
    record = json.loads(line)
    time.sleep({pause})
    os.write(log, (record["recordId"] + "\\n").encode())
    out = {{"type": "message", "role": "assistant", "stop_reason": "end_turn",
           "content": [{{"type": "text", "text": "seen " + record["recordId"]}}],
           "usage": {{"input_tokens": 1, "output_tokens": 1}}}}
    print(json.dumps({{"recordId": record["recordId"], "modelOutput": out}}), flush=True)
"""

# Records handed out but not journalled yet, per life of the daemon: the most a
# crash may make run again.
IN_FLIGHT_MAX = 2 * 4 + 8


def counter_config(base, pause):
    script = base / "counter.py"
    script.write_text(COUNTER.format(log=str(base / "counter.log"), pause=pause))
    script.chmod(0o755)
    return f"[model counter]\ncommand = {script}\nworkers = 2\n"


def counts(base):
    return Counter((base / "counter.log").read_text().split())


def check_whole(job, count):
    assert ids_of(job.lines()) == [f"rec-{i:05d}" for i in range(1, count + 1)]
    assert job.lines("errors.jsonl") == [] == job.lines("retry.jsonl")


@pytest.mark.short
def test_a_clean_remount_in_mid_run_goes_on(new_mount, base):
    mount = new_mount(config=counter_config(base, 0.005)).start()
    job = mount.job("one")
    job.fill(records(400), "counter")
    job.wait_state("InProgress")
    time.sleep(0.5)
    mount.restart()
    assert job.status() in ("InProgress", "Fetching", "Completed", "Queued", "Submitted")
    assert job.wait_end() == "Completed"
    check_whole(job, 400)
    again = [i for i, n in counts(base).items() if n > 1]
    assert len(again) <= IN_FLIGHT_MAX, again


@pytest.mark.short
def test_kill_9_in_mid_run_goes_on_and_finished_records_are_not_run_again(new_mount, base):
    mount = new_mount(config=counter_config(base, 0.005)).start()
    job = mount.job("one")
    job.fill(records(400), "counter")
    job.wait_state("InProgress")
    time.sleep(0.5)
    mount.kill()
    mount.start()
    assert job.wait_end() == "Completed"
    check_whole(job, 400)
    again = [i for i, n in counts(base).items() if n > 1]
    assert len(again) <= IN_FLIGHT_MAX, again


def kill_loop(mount, base, count, kills, rng):
    slow, counter = mount.job("slow"), mount.job("counter")
    slow.fill(records(count), "builtin.slow", "delay_ms = 6\n")
    counter.fill(records(count), "counter")
    killed = 0
    while killed < kills:
        time.sleep(rng.uniform(0.02, 0.4))
        mount.kill()
        killed += 1
        mount.start()
        assert sorted(n for n in os.listdir(mount.dir) if n[0] != ".") == ["counter", "slow"]
    for job in (slow, counter):
        assert job.wait_end(120) == "Completed"
        check_whole(job, count)
    seen = counts(base)
    assert len(seen) == count
    assert sum(seen.values()) - count <= (kills + 1) * IN_FLIGHT_MAX, \
        "finished records were run again"


@pytest.mark.limit(240)
def test_twenty_kills_at_random_moments_lose_nothing_and_double_nothing(new_mount, base):
    mount = new_mount(config=counter_config(base, 0.002)).start()
    kill_loop(mount, base, 3000, 20, random.Random())


@pytest.mark.slow
@pytest.mark.limit(1800)
def test_three_hundred_kills(new_mount, base):
    mount = new_mount(config=counter_config(base, 0.005)).start()
    kill_loop(mount, base, 20_000, 300, random.Random())


@pytest.mark.limit(120)
def test_kills_while_a_job_is_being_made_leave_it_whole_or_a_draft(new_mount):
    """From the first byte to the end, whatever the moment: nothing is half submitted."""
    rng = random.Random()
    mount = new_mount({"settle": "0.05", "settle_input": "0.05"}).start()
    data = b"".join(records(200))
    for turn in range(8):
        job = mount.job(f"job-{turn}")
        (job / "input.jsonl").write_bytes(data)
        (job / "model").write_text("builtin.echo\n")
        time.sleep(rng.uniform(0, 0.3))
        mount.kill()
        mount.start()
        assert (job / "input.jsonl").read_bytes() == data, "close() said yes"
        assert job.read("model") == "builtin.echo\n"
        assert job.wait_end() == "Completed"
        check_whole(job, 200)


def test_what_close_said_yes_to_survives_kill_9(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    data = b"".join(records(2000))
    (job / "input.jsonl").write_bytes(data)
    (job / "notes").write_text("mine")
    mount.kill()
    mount.start()
    assert (job / "input.jsonl").read_bytes() == data
    assert job.read("notes") == "mine"
    assert job.status() == "Draft"


def test_a_file_being_written_at_kill_9_is_not_submitted(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    (job / "model").write_text("builtin.echo\n")
    f = open(job / "input.jsonl", "wb", buffering=0)
    f.write(b"".join(records(3))[:-30])
    mount.kill()
    try:
        f.close()
    except OSError:
        pass
    mount.start()
    sh("sleep 1.5")
    assert job.status() in ("Draft", "Invalid")


def test_ended_jobs_are_unchanged_after_kill_9(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(300), "builtin.fail")
    files = ("output.jsonl", "results.csv", "errors.jsonl", "retry.jsonl", "status")
    before = {f: (job / f).read_bytes() for f in files}
    mount.kill()
    mount.start()
    assert {f: (job / f).read_bytes() for f in files} == before
    assert len(os.listdir(job / "output")) == 300


def test_results_are_made_again_when_the_cache_is_lost(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(50))
    before = (job / "output.jsonl").read_bytes()
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    until(lambda: (job / "output.jsonl").exists(), 20, "output.jsonl did not come back")
    assert job.wait_end() == "Completed"
    assert (job / "output.jsonl").read_bytes() == before


def test_a_cache_that_is_tidied_away_under_the_mount(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(50))
    before = (job / "output.jsonl").read_bytes()
    mount.restart()
    sh(f"rm -rf {mount.cache}/*", check=0)

    def read():
        try:
            return (job / "output.jsonl").read_bytes()
        except OSError:
            return None

    assert until(read, 20, "output.jsonl did not come back") == before
    assert job.wait_end() == "Completed"
    assert len(mount.run("two", records(50)).lines()) == 50


def test_kill_9_during_a_retry(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(2000), "builtin.fail")
    good = {item for item in job.lines() if "error" not in json.loads(item)}
    job.ctl("retry")
    time.sleep(0.1)
    mount.kill()
    mount.start()
    assert good <= set(job.lines())
    until(lambda: job.status() in ("Completed", "CompletedWithErrors"), 20, "no end")
    assert good <= set(job.lines())
    assert len(job.lines()) == 2000


def test_a_stop_before_kill_9_is_still_a_stop(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    job.fill(records(100), "builtin.slow", "delay_ms = 200\n")
    job.wait_state("InProgress")
    job.ctl("stop")
    mount.kill()
    mount.start()
    assert job.wait_end() == "Stopped"


@pytest.mark.parametrize("how", ["unmount", "kill -9"])
def test_no_command_outlives_the_daemon(new_mount, base, how):
    mount = new_mount(config=counter_config(base, 0.05)).start()
    job = mount.job("one")
    job.fill(records(500), "counter")
    job.wait_state("InProgress")
    until(lambda: (base / "counter.log").exists(), 5, "the command did not start")
    mount.stop() if how == "unmount" else mount.kill()
    until(lambda: sh(f"pgrep -f {base}/counter.py").returncode == 1, 5,
          "the command outlived the daemon")


def test_the_log_is_kept_over_kill_9(new_mount):
    mount = new_mount().start()
    job = mount.run("one", records(3))
    before = job.read("log")
    mount.kill()
    mount.start()
    assert job.read("log").startswith(before)


def test_a_refused_config_is_not_forgotten(new_mount):
    """It was to hold a job back, or to limit what it costs: without it nothing goes."""
    mount = new_mount().start()
    job = mount.job("one")
    (job / "input.jsonl").write_bytes(b"".join(records(3)))
    sh(f"echo 'delay_ms = soon' > {job}/config", check=1)
    (job / "model").write_text("builtin.slow\n")
    job.wait_state("Invalid")
    for end in (mount.kill, mount.stop):
        end()
        mount.start()
        sh("sleep 1.2")
        assert job.status() == "Invalid"
        assert "config: its last write was refused" in job.read("error")
    (job / "config").write_text("delay_ms = 1\n")
    assert job.wait_end() == "Completed"
