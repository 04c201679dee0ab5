"""docs/semantics.md, "Small jobs, retries and copies"."""

import errno
import json

import pytest

from bedrockkit import CLAUDE
from inputs import ids_of, record, records
from mountkit import sh, until


def status(job):
    return json.loads(job.read("status.json"))


@pytest.mark.short
@pytest.mark.parametrize("text", ["small = maybe", "retry_max = 21", "retry_max = -1",
                                  "dedupe = 1"])
def test_other_values_are_refused(mount, name, text):
    job = mount.job(name)
    with pytest.raises(OSError) as caught:
        (job / "config").write_text(text + "\n")
    assert caught.value.errno == errno.EINVAL


def test_on_local_no_job_is_too_small(mount, name):
    job = mount.run(name, records(1), config="small = refuse\n")
    assert job.status() == "Completed"


def test_too_few_are_refused_and_error_names_the_ways_out(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("few")
    job.fill(records(2), CLAUDE)
    job.wait_state("Invalid")
    said = job.read("error")
    assert "2 records" in said and "small = ondemand" in said and "small = pad" in said
    assert not cloud.keys()


def test_padding_is_in_no_file(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.run("few", records(2), CLAUDE, "small = pad\n")
    assert job.status() == "Completed"
    assert ids_of(job.lines()) == ["rec-00001", "rec-00002"]
    assert job.read("results.csv").count("\n") == 3
    told = status(job)
    assert told["records"]["total"] == 2 and told["attempts"][0]["how"] == "padded"
    assert told["attempts"][0]["records"] == 2 and told["parts"][0]["padding"] == 1
    assert told["padding"]["records"] == 1 and "\npadding        1 records" in job.read("cost")


def test_on_demand_is_at_its_price(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.run("few", records(2), CLAUDE, "small = ondemand\n")
    assert job.status() == "Completed"
    assert ids_of(job.lines()) == ["rec-00001", "rec-00002"]
    told = status(job)
    assert told["attempts"][0]["how"] == "ondemand"
    assert told["cost"]["total_usd"] == pytest.approx(told["cost"]["on_demand_usd"], abs=1e-5)
    assert "\non_demand      " in job.read("cost")


def test_copies_are_sent_once_and_what_is_known_is_not_sent(mount, name):
    same = [record(f"r{i}", f"text {i % 3}") for i in range(9)]
    job = mount.run(name, same, config="dedupe = yes\n")
    assert job.status() == "Completed"
    assert ids_of(job.lines()) == [f"r{i}" for i in range(9)]
    assert "of 9 records 3 are sent, 6 are copies" in job.read("log")
    assert status(job)["saved"]["records"] == 6
    assert "\nsaved          6 records" in job.read("cost")
    again = mount.run(name + "-again", same, config="dedupe = yes\n")
    assert status(again)["saved"]["records"] == 9
    assert ids_of(again.lines()) == ids_of(job.lines())


def test_retry_max_tries_again_what_may_go_better(mount, name):
    job = mount.job(name)
    job.fill(records(200), "builtin.fail", "retry_max = 20\n")
    until(lambda: job.status() == "Completed", 40, "it did not complete by itself")
    attempts = status(job)["attempts"]
    assert len(attempts) > 1 and attempts[0]["automatic"] is False
    assert all(item["automatic"] is True for item in attempts[1:])
    assert "automatic retry: attempt 2" in job.read("log")


def test_a_stopped_job_is_not_tried_again(mount, name):
    job = mount.job(name)
    job.fill(records(60), "builtin.slow", "delay_ms = 1000\nretry_max = 3\n")
    job.wait_state("InProgress")
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    sh("sleep 0.5")
    assert job.status() == "Stopped" and len(status(job)["attempts"]) == 1
