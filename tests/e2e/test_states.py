"""docs/semantics.md, "States": when a job goes, and what holds it."""

import os
import time

import pytest

from inputs import records
from mountkit import sh, until

DATA = b"".join(records(3))


def test_settling_is_shown_before_the_job_goes(new_mount):
    mount = new_mount({"settle": "1"}).start()
    job = mount.job("one")
    job.fill(DATA)
    job.wait_state("Settling", timeout=3)
    assert job.wait_end() == "Completed"


def test_the_settle_time_is_shorter_when_the_model_came_last(new_mount):
    mount = new_mount({"settle": "0.2", "settle_input": "2.5"}).start()
    quick, slow = mount.job("quick"), mount.job("slow")
    (slow / "model").write_text("builtin.echo\n")
    (slow / "input.jsonl").write_bytes(DATA)
    began = time.monotonic()
    quick.fill(DATA)
    assert quick.wait_end() == "Completed"
    assert time.monotonic() - began < 2.2
    assert slow.status() == "Settling"
    assert slow.wait_end() == "Completed"
    assert time.monotonic() - began > 2.2


@pytest.mark.parametrize("what", ["open for appending", "scratch", "unlink"])
def test_the_settle_time_begins_again_at_an_open_for_writing_or_an_unlink(new_mount, what):
    mount = new_mount({"settle": "1", "settle_input": "1"}).start()
    job = mount.job("one")
    job.fill(DATA)
    end = time.monotonic() + 2.4
    while time.monotonic() < end:
        if what == "open for appending":
            with open(job / "input.jsonl", "ab"):
                pass
        elif what == "scratch":
            (job / "notes").write_text("x")
        else:
            (job / "more").write_text("x")
            os.unlink(job / "more")
        assert job.status() in ("Settling", "Draft")
        time.sleep(0.3)
    assert job.wait_end() == "Completed"


def test_a_writer_that_stays_open_keeps_the_job_from_going(mount, name):
    job = mount.job(name)
    (job / "model").write_text("builtin.echo\n")
    with open(job / "input.jsonl", "wb") as f:
        f.write(DATA)
        f.flush()
        time.sleep(1.5)
        assert job.status() == "Draft"
        f.write(records(4)[3])
    assert job.wait_end() == "Completed"
    assert len(job.lines()) == 4


def test_a_producer_that_appends_in_bursts_is_taken_whole(new_mount):
    mount = new_mount({"settle_input": "1.2"}).start()
    job = mount.job("one")
    (job / "model").write_text("builtin.echo\n")
    for line in records(5):
        with open(job / "input.jsonl", "ab") as f:
            f.write(line)
        time.sleep(0.4)
    assert job.wait_end() == "Completed"
    assert len(job.lines()) == 5


@pytest.mark.short
def test_submit_manual_stays_held_until_submit(new_mount):
    mount = new_mount({"submit": "manual"}).start()
    job = mount.job("one")
    job.fill(DATA)
    job.wait_state("Held")
    assert sh(f"cat {job}/wait", check=0, timeout=10).stdout == "Held\n"
    sh("sleep 0.8")
    assert job.status() == "Held"
    assert "submit" in job.read("ctl").split()
    sh(f"echo submit > {job}/ctl", check=0)
    assert job.wait_end() == "Completed"


def test_hold_stops_a_draft_from_going_and_submit_lets_it_go(mount, name):
    job = mount.job(name)
    job.ctl("hold")
    job.fill(DATA)
    job.wait_state("Held")
    sh("sleep 1")
    assert job.status() == "Held"
    job.ctl("submit")
    assert job.wait_end() == "Completed"


def test_hold_while_settling(new_mount):
    mount = new_mount({"settle": "2"}).start()
    job = mount.job("one")
    job.fill(DATA)
    job.wait_state("Settling")
    job.ctl("hold")
    job.wait_state("Held")
    sh("sleep 2.5")
    assert job.status() == "Held"


def test_hold_survives_a_restart(new_mount):
    mount = new_mount().start()
    job = mount.job("one")
    job.ctl("hold")
    job.fill(DATA)
    job.wait_state("Held")
    mount.restart()
    sh("sleep 1")
    assert job.status() == "Held"
    job.ctl("submit")
    assert job.wait_end() == "Completed"


def test_submit_skips_the_settle_time(new_mount):
    mount = new_mount({"settle": "30", "settle_input": "30"}).start()
    job = mount.job("one")
    job.fill(DATA)
    job.wait_state("Settling")
    job.ctl("submit")
    assert job.wait_end(timeout=10) == "Completed"


def test_submit_of_a_job_without_input_or_model_is_refused_or_stays_a_draft(mount, name):
    job = mount.job(name)
    sh(f"echo submit > {job}/ctl")
    sh("sleep 0.5")
    assert job.status() in ("Draft", "Held")


def test_a_job_whose_every_record_fails_has_failed(mount, name):
    job = mount.run(name, DATA, "builtin.fail", "fail_rate = 1\n")
    assert job.status() == "Failed"
    assert job.read("error").strip()
    assert len(job.lines("errors.jsonl")) == 3
    assert len(job.lines("retry.jsonl")) == 3


def test_states_follow_each_other_in_the_documented_order(mount, name):
    order = ["Draft", "Settling", "Uploading", "Queued", "Submitted", "Validating", "Scheduled",
             "InProgress", "Fetching", "Completed"]
    job = mount.job(name)
    seen = [job.status()]
    job.fill(records(20), "builtin.slow", "delay_ms = 50\nparallel = 1\n")

    def look():
        word = job.status()
        if word != seen[-1]:
            seen.append(word)
        return word == "Completed"

    until(look, 20, "not completed", pause=0.001)
    assert seen == [word for word in order if word in seen], seen
    assert "InProgress" in seen
