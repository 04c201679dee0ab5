"""docs/semantics.md, "Samples": a few records on demand, before the whole is paid for."""

import errno
import json
import os
import threading

import pytest

from bedrockkit import CLAUDE
from inputs import ids_of, record, records
from mountkit import sh, until

SLOW = "delay_ms = 300\nparallel = 1\n"


def held(mount, name, lines, model="builtin.echo", config=""):
    job = mount.job(name)
    job.fill(lines, model, config + "submit = manual\n")
    job.wait_state("Held")
    return job


def sampled(job):
    """What the last sample brought, once it is whole."""
    until(lambda: (job / "sample.jsonl").exists(), 20, "there is no sample")
    return job.lines("sample.jsonl")


def refused(job, number, word="sample 3"):
    with pytest.raises(OSError) as caught:
        job.ctl(word)
    assert caught.value.errno == number


def answered(job):
    """How many records of the running sample have an answer."""
    words = job.read("progress").split()
    return int(words[words.index("records") - 3]) if "sample" in words else None


def test_the_first_records_are_run_and_the_job_is_held(mount, name):
    job = mount.job(name)
    job.fill(records(10))
    job.ctl("sample 5")
    assert ids_of(sampled(job)) == [f"rec-{i:05d}" for i in range(1, 6)]
    sh("sleep 1")  # longer than the settle time
    assert job.status() == "Held" and json.loads(job.read("status.json"))["attempt"] == 0


@pytest.mark.short
@pytest.mark.parametrize("words", ["sample", "sample 0", "sample 10001", "sample x", "sample -1",
                                   "sample 1 2", "sample N"])
def test_n_is_a_number_from_1_to_10000(mount, name, words):
    job = held(mount, name, records(1))
    refused(job, errno.EINVAL, words)
    assert f'"{words}": write sample and a number of records from 1 to 10000' in job.read("log")


def test_white_space_around_and_between_the_words_does_not_matter(mount, name):
    job = held(mount, name, records(3))
    job.ctl("  sample \t 2 ")
    assert len(sampled(job)) == 2


def test_of_a_job_with_fewer_records_all_are_run(mount, name):
    job = held(mount, name, records(3))
    job.ctl("sample 10000")
    assert len(sampled(job)) == 3


def test_refused_while_incomplete_invalid_or_submitted(mount, name):
    job = mount.job(name)
    refused(job, errno.EINVAL)
    assert "sample: not taken: it is for a job that is Held or Settling" in job.read("log")
    (job / "model").write_text("builtin.echo\n")
    sh(f"echo no > {job}/input.jsonl")
    job.wait_state("Invalid")
    refused(job, errno.EINVAL)
    (job / "input.jsonl").write_bytes(b"".join(records(60)))
    (job / "config").write_text("delay_ms = 1000\n")
    (job / "model").write_text("builtin.slow\n")
    job.wait_state("InProgress")
    refused(job, errno.EINVAL)
    job.ctl("stop")
    job.wait_end()
    refused(job, errno.EINVAL)


def test_sample_jsonl_is_in_the_order_of_the_input_and_listed_once_it_is_whole(mount, name):
    job = held(mount, name, records(8), "builtin.slow", "delay_ms = 200\nparallel = 8\n")
    assert "sample.jsonl" not in os.listdir(job)
    job.ctl("sample 6")
    assert "sample.jsonl" not in os.listdir(job)
    lines = sampled(job)
    assert ids_of(lines) == [f"rec-{i:05d}" for i in range(1, 7)]
    assert all("modelOutput" in json.loads(item) for item in lines)
    assert "sample.jsonl" in os.listdir(job)
    assert os.stat(job / "sample.jsonl").st_size == len((job / "sample.jsonl").read_bytes())
    with pytest.raises(PermissionError):
        open(job / "sample.jsonl", "w")


def test_it_stays_over_the_submission_and_the_job_runs_all_records(mount, name):
    job = held(mount, name, records(5))
    job.ctl("sample 2")
    lines = sampled(job)
    job.ctl("submit")
    assert job.wait_end() == "Completed"
    assert len(job.lines()) == 5 and job.lines("sample.jsonl") == lines
    mount.restart()
    assert job.lines("sample.jsonl") == lines
    sh(f"rm -r {job}", check=0)


def test_the_next_one_replaces_it_and_an_open_descriptor_goes_on(mount, name):
    job = held(mount, name, records(6), "builtin.slow", "delay_ms = 200\nparallel = 1\n")
    job.ctl("sample 1")
    first = sampled(job)
    with open(job / "sample.jsonl", "rb") as f:
        job.ctl("sample 2")
        assert not (job / "sample.jsonl").exists()
        assert len(sampled(job)) == 2
        assert f.read().split(b"\n")[:-1] == first


def test_what_samples_took_is_told(mount, name):
    job = held(mount, name, records(5))
    assert json.loads(job.read("status.json"))["sample"]["records"] == 0
    assert "sample" not in job.read("cost")
    job.ctl("sample 3")
    sampled(job)
    until(lambda: json.loads(job.read("status.json"))["sample"]["records"] == 3)
    assert "\nsample         3 records, " in job.read("cost")
    assert "sample: 3 of 3 records answered, 3 good" in job.read("log")
    job.ctl("sample 2")
    until(lambda: json.loads(job.read("status.json"))["sample"]["records"] == 5)


def test_it_says_how_far_it_is_and_wait_waits_for_it(mount, name):
    job = held(mount, name, records(8), "builtin.slow", SLOW)
    job.ctl("sample 6")
    said = []
    thread = threading.Thread(target=lambda: said.append(job.read("wait")))
    thread.start()
    until(lambda: answered(job) and answered(job) > 0, 10, "no progress")
    assert job.status() == "Held" and said == []
    assert set(job.read("ctl").split("\n")) & {"stop", "submit", "sample N"} == {"stop"}
    refused(job, errno.EBUSY, "submit")
    refused(job, errno.EBUSY)
    thread.join(20)
    assert said == ["Held\n"] and len(job.lines("sample.jsonl")) == 6


def test_others_do_not_wait_for_it(mount, name):
    job = held(mount, name, records(8), "builtin.slow", "delay_ms = 1000\nparallel = 1\n")
    job.ctl("sample 8")
    assert mount.run(name + "-other", records(3)).status() == "Completed"
    assert not (job / "sample.jsonl").exists()
    sh(f"rm -r {job}", check=0)


def test_it_goes_on_with_what_it_began_with(mount, name):
    job = held(mount, name, records(4), "builtin.slow", SLOW)
    job.ctl("sample 4")
    until(lambda: answered(job) is not None)
    (job / "input.jsonl").write_bytes(record("other"))
    (job / "model").write_text("builtin.echo\n")
    lines = sampled(job)
    assert ids_of(lines) == [f"rec-{i:05d}" for i in range(1, 5)]
    assert {json.loads(item)["modelOutput"]["builtin"]["model"] for item in lines} == {"slow"}
    until(lambda: "Held: 1 records" in job.read("progress"), 10, "it was not judged again")


def test_stop_ends_it_and_what_was_answered_is_kept(mount, name):
    job = held(mount, name, records(50), "builtin.slow", SLOW)
    job.ctl("sample 50")
    until(lambda: answered(job) and answered(job) >= 1, 10, "no progress")
    job.ctl("stop")
    lines = sampled(job)
    assert 1 <= len(lines) < 50
    assert job.read("wait") == "Held\n"
    job.ctl("submit")  # the stop was of the sample
    job.wait_state("InProgress")
    job.ctl("stop")
    job.wait_end()


def test_after_kill_9_it_goes_on(mount, name):
    job = held(mount, name, records(8), "builtin.slow", SLOW)
    job.ctl("sample 8")
    until(lambda: answered(job) and answered(job) >= 2, 10, "no progress")
    mount.kill()
    mount.start()
    assert ids_of(sampled(job)) == [f"rec-{i:05d}" for i in range(1, 9)]
    assert job.read("wait") == "Held\n"
    assert json.loads(job.read("status.json"))["sample"]["records"] == 8


def test_rm_ends_it(mount, name):
    job = held(mount, name, records(50), "builtin.slow", SLOW)
    job.ctl("sample 50")
    until(lambda: answered(job) is not None)
    sh(f"rm -r {job}", check=0)
    assert not job.path.exists()
    assert mount.run(name, records(1)).status() == "Completed"


def test_on_bedrock_nothing_is_uploaded_for_it_and_its_price_is_told(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = held(mount, "one", records(20), CLAUDE)
    job.ctl("sample 2")
    lines = sampled(job)
    assert ids_of(lines) == ["rec-00001", "rec-00002"]
    assert all("modelOutput" in json.loads(item) for item in lines)
    assert "USD at the on-demand price" in job.read("log")
    assert not cloud.keys()
    until(lambda: json.loads(job.read("status.json"))["sample"]["tokens"]["input"] > 0)
    assert json.loads(job.read("status.json"))["cost"]["total_usd"] > 0


def test_a_sample_that_is_refused_says_why(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = held(mount, "one", records(20), CLAUDE)
    cloud.double.fault("InvokeModel", "error", count=50, value=(
        403, "AccessDeniedException", "you are not authorized to perform bedrock:InvokeModel"))
    job.ctl("sample 2")
    until(lambda: "not authorized" in job.read("error"), 20, "no words in error")
    assert job.read("wait") == "Held\n" and not (job / "sample.jsonl").exists()
    assert "sample: refused:" in job.read("log")
    cloud.double.clear_faults()
    job.ctl("sample 2")
    assert len(sampled(job)) == 2 and job.read("error") == ""
