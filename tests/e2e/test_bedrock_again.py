"""docs/semantics.md, "Automatic retries", over bedrock: what may go better runs again by itself."""

import json
import threading

import pytest

from bedrockkit import BUCKET, CLAUDE, check_complete
from inputs import ids_of, record, records
from mountkit import until


def status_json(job):
    return json.loads(job.read("status.json"))


def sent(cloud, double_job):
    """The ids in the input of a job of the service."""
    uri = double_job.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    key = uri.split("/", 3)[3]
    body = cloud.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return ids_of(body.splitlines())


def run_first_badly(mount, cloud, lines, config=None, **knobs):
    """A job of which the first attempt has these knobs, and no other has."""
    job = mount.job("one")
    with cloud.double.setting(durations={**cloud.knobs.durations, "InProgress": 1.0}, **knobs):
        job.fill(lines, CLAUDE, config)
        until(lambda: len(cloud.double.jobs()) == 1, 15, "no job was created")
    return job


@pytest.fixture
def mount(new_bedrock, cloud):
    cloud.knobs.min_records = 1
    return new_bedrock({"min_records": "1", "retry_max": "3"}).start()


@pytest.mark.parametrize("knobs", [
    {"error_rate": 0.5, "error_code": 429}, {"error_rate": 0.5, "error_code": 500},
    {"error_rate": 0.5, "error_code": 503}, {"error_rate": 1.0, "error_code": 429},
    {"end": "PartiallyCompleted"}, {"end": "Expired"}],
    ids=["429", "500", "503", "all 429", "partial", "expired"])
def test_what_may_go_better_is_run_again_by_itself(mount, cloud, knobs):
    data = records(20)
    job = run_first_badly(mount, cloud, data, **knobs)
    assert job.read("wait") == "Completed\n"
    check_complete(job, data)
    told = status_json(job)
    assert [a["automatic"] for a in told["attempts"]] == [False, True]
    first, second = cloud.double.jobs()
    assert told["attempts"][1]["records"] == len(sent(cloud, second)) < 20 + (
        knobs.get("error_rate") == 1.0 or knobs.get("end") == "Expired")
    assert "automatic retry: attempt 2" in job.read("log")


@pytest.mark.parametrize("knobs", [
    {"error_rate": 0.5, "error_code": 400}, {"error_rate": 1.0, "error_code": 403},
    {"end": "Stopped"}, {"fail_message": "Could not validate GetObject permissions to access "
                         "Amazon S3 bucket: b at key k"}],
    ids=["400", "403", "stopped", "not valid"])
def test_what_will_not_go_better_is_not(mount, cloud, knobs):
    job = run_first_badly(mount, cloud, records(20), **knobs)
    assert job.wait_end() != "Completed"
    assert status_json(job)["attempt"] == 1 and len(cloud.double.jobs()) == 1
    job.ctl("retry")
    assert job.read("wait") == "Completed\n", "one that is asked for runs all of them"


@pytest.mark.short
def test_of_both_kinds_only_what_may_go_better(mount, cloud):
    data = records(10) + [record("odd", "[[error:400:messages were odd]]")]
    job = run_first_badly(mount, cloud, data, end="PartiallyCompleted", shuffle=False,
                          done_share=1.0, error_rate=0.5, error_code=429)
    assert job.wait_end() == "CompletedWithErrors"
    assert status_json(job)["records"] == {"total": 11, "good": 10, "failed": 1, "remaining": 0}
    second = cloud.double.jobs()[1]
    assert "odd" not in sent(cloud, second)


def test_retry_max_is_the_most_and_zero_the_default(new_bedrock, cloud):
    cloud.knobs.min_records = 1
    cloud.knobs.error_rate, cloud.knobs.error_code = 1.0, 429
    mount = new_bedrock({"min_records": "1"}).start()
    none = mount.run_job("none", records(4))
    assert status_json(none)["attempt"] == 1
    two = mount.run_job("two", records(4), config="retry_max = 2\n")
    assert two.status() == "Failed"
    assert [a["automatic"] for a in status_json(two)["attempts"]] == [False, True, True]
    two.ctl("retry")
    assert two.wait_end() == "Failed"
    assert [a["automatic"] for a in status_json(two)["attempts"]][-1] is False
    assert len(cloud.double.jobs("two")) == 4


def test_wait_waits_through_and_no_end_is_shown_between(mount, cloud):
    said, seen = [], set()
    job = run_first_badly(mount, cloud, records(20), error_rate=0.5, error_code=429)
    waiter = threading.Thread(target=lambda: said.append(job.read("wait")))
    waiter.start()
    while waiter.is_alive():
        seen.add((status_json(job)["attempt"], job.status()))
    assert said == ["Completed\n"]
    assert not [s for a, s in seen if a == 1 and s in (
        "Completed", "CompletedWithErrors", "PartiallyCompleted", "Failed")]


def test_after_a_stop_nothing_runs_by_itself(mount, cloud):
    job = run_first_badly(mount, cloud, records(20))
    job.wait_state("InProgress")
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    assert len(cloud.double.jobs()) == 1


def test_a_stop_ends_the_automatic_attempt_and_keeps_what_was_good(mount, cloud):
    cloud.knobs.durations["InProgress"] = 3.0
    job = run_first_badly(mount, cloud, records(20), error_rate=0.5, error_code=429)
    until(lambda: len(cloud.double.jobs()) == 2, 20, "no second attempt")
    job.wait_state("InProgress")
    good = status_json(job)["records"]["good"]
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    assert status_json(job)["records"]["good"] >= good > 0
    assert len(cloud.double.jobs()) == 2


def test_kill_9_before_the_automatic_attempt_does_not_lose_it(mount, cloud):
    data = records(20)
    job = run_first_badly(mount, cloud, data, error_rate=0.5, error_code=429)
    until(lambda: cloud.double.jobs()[0].status == "Completed", 15)
    mount.kill()
    mount.start()
    assert job.wait_end() == "Completed"
    check_complete(job, data)
    assert len(cloud.double.jobs()) == 2


@pytest.mark.parametrize("small, how", [("refuse", None), ("pad", "padded"),
                                        ("ondemand", "ondemand")])
def test_under_the_minimum_it_does_what_small_says(new_bedrock, cloud, small, how):
    cloud.knobs.min_records = 10
    mount = new_bedrock({"min_records": "10", "retry_max": "3", "small": small}).start()
    data = records(12)
    job = run_first_badly(mount, cloud, data, end="PartiallyCompleted", done_share=0.75)
    if how is None:
        assert job.wait_end() == "PartiallyCompleted"
        assert "no automatic retry: 3 records, and this source takes no job under 10" in \
            job.read("log")
        assert status_json(job)["attempt"] == 1
        return
    assert job.wait_end() == "Completed"
    check_complete(job, data)
    assert [(a["how"], a["automatic"]) for a in status_json(job)["attempts"]] == \
        [("batch", False), (how, True)]


def test_on_local_too(new_mount):
    mount = new_mount({"retry_max": "5"}).start()
    job = mount.run("one", records(50), "builtin.fail")
    assert job.status() == "Completed"
    assert {a["automatic"] for a in status_json(job)["attempts"][1:]} == {True}
