"""docs/semantics.md, "Jobs in parts", over bedrock: limits, the queue, one view, and the ends."""

import json
import os
import time

import pytest

from bedrockkit import BUCKET, CLAUDE, NOVA, check_complete
from inputs import record, records
from mountkit import sh, until
from partskit import (MANY, check_books, ids_in, live, many, parts_of, queued_job, sent, sizes)


def start(new_bedrock, cloud, options=None, limit=10, least=2):
    cloud.knobs.min_records, cloud.knobs.max_records_job = least, limit
    return new_bedrock({**MANY, **(options or {})}).start()


def jobs_line(mount, name):
    """PARTS and QUEUE of a job's line in .batchfs/jobs."""
    rows = (mount.dir / ".batchfs" / "jobs").read_text().splitlines()
    row, = [r.split() for r in rows if r.endswith(" " + name)]
    return row[-3], row[-2]


# --- limits ---

@pytest.mark.parametrize("knobs, count, wanted", [
    ({"max_records_job": 40}, 99, [40, 40, 19]),
    ({"max_records_file": 40, "max_records_job": 50}, 99, [40, 40, 19]),
    ({"max_records_job": 40, "min_records": 30}, 99, [39, 30, 30]),
    ({"max_records_job": 40, "min_records": 18}, 99, [40, 40, 19]),
    ({"max_records_job": 40}, 40, [40]),
    ({"max_file_bytes": 100_000}, 51, [25, 25, 1]),
    ({"max_file_bytes": 100_000, "min_records": 3}, 51, [25, 23, 3]),
    ({"max_job_bytes": 100_000}, 25, [25]),
    ({"max_job_bytes": 100_000}, 26, [25, 1]),
], ids=["records of a job", "records of a file", "the tail is filled up", "the tail is enough",
        "just one", "bytes of a file", "a tail of bytes", "just one of bytes", "bytes of a job"])
def test_the_accounts_limits_cut_a_job(new_bedrock, cloud, knobs, count, wanted):
    cloud.knobs.min_records = 1
    for name, value in knobs.items():
        setattr(cloud.knobs, name, value)
    head = len(record("r00", ""))
    data = [record(f"r{i:02d}", "x" * (4000 - head)) for i in range(count)]
    job = new_bedrock(MANY).start().run_job("cut", data)
    assert sizes(cloud) == wanted
    assert [p["records"]["total"] for p in parts_of(job)] == wanted
    check_complete(job, data)
    check_books(job, cloud)
    assert ("cut into" in job.read("log")) == (len(wanted) > 1)


@pytest.mark.parametrize("option, wanted", [
    ("max_records_per_job", [10, 10, 5]), ("max_records_per_file", [10, 10, 5]),
    ("min_records", [25])])
def test_an_option_goes_before_the_accounts(new_bedrock, cloud, option, wanted):
    cloud.knobs.min_records = 2
    mount = new_bedrock({**MANY, option: "10"}).start()
    mount.run_job("cut", records(25))
    assert sizes(cloud) == wanted


def test_limits_between_which_nothing_fits_are_told(new_bedrock, cloud):
    """Eleven records cannot be parts of six to ten."""
    mount = start(new_bedrock, cloud, limit=10, least=6)
    job = mount.job("odd")
    job.fill(b"".join(many(11)), CLAUDE)
    job.wait_state("Invalid")
    assert "11 records" in job.read("error") or "cut" in job.read("error"), job.read("error")
    assert cloud.double.jobs() == [] and cloud.keys() == []
    (job / "input.jsonl").write_bytes(b"".join(many(12)))
    assert job.wait_end() == "Completed"
    assert sizes(cloud) == [6, 6]


def test_a_local_job_is_cut_if_the_mount_says_so(new_mount):
    data = records(25)
    for options, parts in ({"max_records_per_job": "10"}, [10, 10, 5]), ({}, [25]):
        mount = new_mount(options).start()
        job = mount.run("local", data)
        assert [p["records"]["total"] for p in parts_of(job)] == parts
        assert ids_in((job / "output.jsonl").read_bytes()) == ids_in(b"".join(data))
        mount.stop()


# --- the queue ---

def test_so_many_run_at_once_and_the_rest_is_queued(new_bedrock, cloud):
    """And no create is refused, as the account's number is known."""
    mount = start(new_bedrock, cloud)
    job = queued_job(mount, cloud, "large", 80, slots=3)
    until(lambda: jobs_line(mount, "large") == ("0/3/8", "1"), 5)
    time.sleep(0.5)
    assert live(cloud) == 3 == len(cloud.double.seen("CreateModelInvocationJob"))
    states = [p["state"] for p in parts_of(job)]
    assert states[3:] == ["Queued"] * 5 and "Queued" not in states[:3]
    assert job.status() == "InProgress"
    job.ctl("stop")
    job.wait_end()


def test_an_option_says_how_many_run_at_once(new_bedrock, cloud):
    mount = start(new_bedrock, cloud, {"max_jobs": "2"})
    most = []
    cloud.double.watch = lambda _where, side, _request: most.append(live(cloud))
    job = mount.run_job("two", list(many(60)))
    cloud.double.watch = None
    assert max(most) == 2 and len(cloud.double.jobs()) == 6
    check_complete(job, list(many(60)))


def test_jobs_made_elsewhere_take_their_places(new_bedrock, cloud):
    """Three may run, and somebody else has two of them: ours go one by one, none is refused."""
    cloud.knobs.max_jobs = 3
    others = cloud.double.plant(2, status="InProgress", bucket=BUCKET, prefix="theirs")
    mount = start(new_bedrock, cloud, {"jobs": "all"})
    until(lambda: (mount.dir / others[1].name).exists(), 15, "theirs are not seen")
    most = []
    cloud.double.watch = lambda _where, side, _request: most.append(live(cloud))
    job = mount.job("ours")
    job.fill(b"".join(nova(i) for i in range(40)), NOVA)
    assert job.wait_end() == "Completed"
    cloud.double.watch = None
    assert max(most) == 3
    assert {r.status for r in cloud.double.seen("CreateModelInvocationJob")} == {200}


def test_a_small_job_passes_a_large_one(new_bedrock, cloud):
    cloud.knobs.durations.update(InProgress=0.3)
    mount = start(new_bedrock, cloud)
    cloud.knobs.max_jobs = 2
    large, small = mount.job("large"), mount.job("small")
    large.fill(b"".join(many(120)), CLAUDE)
    until(lambda: len(cloud.double.jobs("large")) >= 3, 20)
    small.fill(b"".join(many(5)), CLAUDE)
    assert small.wait_end() == "Completed"
    assert len(cloud.double.jobs("large")) < 9, "it waited for the large one's"
    assert large.status() == "InProgress"
    assert large.wait_end(60) == "Completed"
    assert len(large.lines()) == 120
    assert len(cloud.double.jobs()) == 13


def test_another_models_jobs_do_not_wait(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    large = queued_job(mount, cloud, "large", 30)
    cloud.knobs.durations["InProgress"] = 0.1
    other = mount.job("other")
    other.fill(b"".join(nova(i) for i in range(5)), NOVA)
    assert other.wait_end() == "Completed"
    until(lambda: jobs_line(mount, "large") == ("0/1/3", "1"), 5)
    large.ctl("stop")
    large.wait_end()


def nova(i):
    return json.dumps({"recordId": f"n{i}", "modelInput": {
        "messages": [{"role": "user", "content": [{"text": f"question {i}"}]}],
        "inferenceConfig": {"maxTokens": 50}}}).encode() + b"\n"


def test_a_smaller_quota_than_is_known_is_learned_and_not_stormed(new_bedrock, cloud):
    cloud.knobs.durations.update(InProgress=0.2)
    mount = start(new_bedrock, cloud, {"max_jobs": "50"})
    cloud.knobs.max_jobs = 2
    job = mount.job("storm")
    job.fill(b"".join(many(120)), CLAUDE)
    until(lambda: "ServiceQuotaExceeded" in job.read("log"), 10, "it does not say why it waits")
    assert job.wait_end(60) == "Completed"
    assert len(job.lines()) == 120 and job.read("error") == ""
    refused = [r for r in cloud.double.seen("CreateModelInvocationJob") if r.status != 200]
    assert len(refused) <= 2, f"{len(refused)} refusals for 12 parts"
    check_books(job, cloud)


def test_jobs_shows_the_queue_in_its_order(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    first = queued_job(mount, cloud, "first", 30)
    for name in ("second", "third"):
        mount.job(name).fill(b"".join(many(5)), CLAUDE)
        mount.job_at(name).wait_state("Queued")
    until(lambda: jobs_line(mount, "first") == ("0/1/3", "3"), 5)
    until(lambda: jobs_line(mount, "second") == ("0/0/1", "1"), 5)
    until(lambda: jobs_line(mount, "third") == ("0/0/1", "2"), 5)
    for name in ("second", "third", "first"):
        mount.job_at(name).ctl("stop")
    assert first.wait_end() == "Stopped"
    assert mount.job_at("second").wait_end() == "Stopped"
    assert len(cloud.double.jobs()) == 1
    assert jobs_line(mount, "first")[1] == "-"


# --- one view ---

def test_status_progress_and_cost_are_of_all_parts_and_attempts(new_bedrock, cloud):
    cloud.knobs.error_rate = 0.2
    mount = start(new_bedrock, cloud, limit=20)
    data = list(many(100))
    job = mount.job("view")
    job.fill(data, CLAUDE)
    assert job.wait_end() == "CompletedWithErrors"
    first = json.loads(job.read("status.json"))
    failed = len(job.lines("errors.jsonl"))
    assert first["records"] == {"total": 100, "good": 100 - failed, "failed": failed,
                                "remaining": 0}
    assert first["tokens"] == tokens(job) and first["attempts"][0]["failed"] == failed
    cloud.knobs.error_rate = 0
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    second = json.loads(job.read("status.json"))
    assert second["records"] == {"total": 100, "good": 100, "failed": 0, "remaining": 0}
    assert second["tokens"] == tokens(job), "of both attempts"
    assert [(a["attempt"], a["records"], a["good"]) for a in second["attempts"]] \
        == [(1, 100, 100 - failed), (2, failed, failed)]
    assert second["cost"]["batch_usd"] > first["cost"]["batch_usd"] > 0
    assert "100/100" in job.read("progress") and "0 failed" in job.read("progress")
    check_complete(job, data)
    check_books(job, cloud)


def tokens(job):
    """As the answers have them."""
    usage = [json.loads(line).get("modelOutput", {}).get("usage") for line in job.lines()]
    return {way: sum(u[f"{way}_tokens"] for u in usage if u) for way in ("input", "output")}


def test_counts_only_grow_while_parts_end_and_others_begin(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    cloud.knobs.max_jobs = 2
    job = mount.job("grow")
    job.fill(b"".join(many(80)), CLAUDE)
    job.wait_state("InProgress")
    good, states = [], []
    while not states or states[-1] != "Completed":
        row = json.loads(job.read("status.json"))
        assert row["records"]["total"] == 80
        good.append(row["records"]["good"])
        states.append(row["status"])
        time.sleep(0.02)
    assert good == sorted(good) and len(set(good)) > 5
    begun = sorted(set(states), key=states.index)
    assert begun in (["InProgress", "Completed"], ["InProgress", "Fetching", "Completed"])


# --- ends ---

def test_stop_keeps_what_is_finished_in_every_part(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    quick = {"durations": {"InProgress": 0.1}}
    cloud.double.plane.fates = {"1": quick, "2": quick}
    cloud.knobs.counter_lag = 1  # what runs has done its share when it is stopped
    job = queued_job(mount, cloud, "stopped", 60, slots=2)
    until(lambda: len(cloud.double.jobs()) == 4, 20)
    until(lambda: [j.status for j in cloud.double.jobs()[2:]] == ["InProgress"] * 2, 10)
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    given = sent(cloud)
    assert len(given) == 4, "what was queued is created no more"
    wanted = given[0] + given[1] + given[2][:5] + given[3][:5]
    found = ids_in((job / "output.jsonl").read_bytes())
    assert found == wanted
    assert len(job.lines("retry.jsonl")) == 30 == len(job.lines("errors.jsonl"))
    check_books(job, cloud)
    cloud.knobs.durations["InProgress"] = 0.1
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, list(many(60)))
    assert sizes(cloud)[4:] == [10, 10, 10]


@pytest.mark.parametrize("end, lost", [("Expired", 10), ("PartiallyCompleted", 5), ("Failed", 10)])
def test_a_part_that_ends_badly_is_retried_alone(new_bedrock, cloud, end, lost):
    cloud.double.plane.fates = {"2": {"end": end}}
    mount = start(new_bedrock, cloud)
    data = list(many(30))
    job = mount.job("one-bad")
    job.fill(data, CLAUDE)
    assert job.wait_end() == "PartiallyCompleted"
    assert len(job.lines()) == 30 - lost
    assert all(line.startswith("part 2: ") for line in job.read("error").splitlines())
    assert "part 2: " in job.read("error") + job.read("log")
    bad = sent(cloud)[1]
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    assert sent(cloud)[3:] == [bad[10 - lost:]]
    check_complete(job, data)
    check_books(job, cloud)


def test_a_part_that_is_refused_leaves_the_others_alone(new_bedrock, cloud):
    """Its create comes when others run: they are paid for, and their results are kept."""
    mount = start(new_bedrock, cloud)
    cloud.double.fault("CreateModelInvocationJob", "error", skip=2,
                       value=(400, "ValidationException", "The provided model does not fit"))
    data = list(many(40))
    job = mount.job("refused")
    job.fill(data, CLAUDE)
    job.wait_end()
    good = len(job.lines())
    assert good == 10 * len(cloud.double.jobs()) and good >= 20
    assert "does not fit" in job.read("error")
    check_books(job, cloud)
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)


def test_results_of_one_part_that_cannot_be_had_are_given_up_alone(new_bedrock, cloud):
    cloud.double.plane.fates = {"3": {"durations": {"InProgress": 1.5}}}
    mount = start(new_bedrock, cloud)
    job = mount.job("denied")
    data = list(many(30))
    job.fill(data, CLAUDE)
    until(lambda: len(cloud.double.jobs()) == 3, 10)
    second = cloud.double.jobs()[1]
    cloud.front.fault("GetObject", "denied", -1, key=second.id)
    job.wait_state("Fetching")
    until(lambda: "echo stop" in job.read("error"), 10, "it does not say what is wrong")
    assert job.read("error").startswith("part 2: ")
    job.ctl("stop")
    assert job.wait_end() == "PartiallyCompleted"
    assert len(job.lines()) == 20 and len(job.lines("retry.jsonl")) == 10
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    assert sent(cloud)[3:] == [sent(cloud)[1]]
    check_complete(job, data)


# --- directories ---

def test_purge_leaves_nothing_of_any_part(new_bedrock, cloud):
    cloud.knobs.error_rate = 0.3
    mount = start(new_bedrock, cloud)
    kept = mount.run_job("kept", list(many(15)))
    before = set(cloud.keys())
    job = mount.job("purged")
    job.fill(b"".join(many(60)), CLAUDE)
    job.wait_end()
    cloud.knobs.error_rate = 0
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    assert len(cloud.double.jobs("purged")) >= 7
    job.ctl("purge")
    until(lambda: set(cloud.keys()) <= before, 15, "objects stay")
    assert set(cloud.keys()) == before
    check_complete(job, list(many(60)))
    assert kept.status().startswith("Completed")


@pytest.mark.parametrize("when", ["in the queue", "in the upload"])
def test_purge_after_a_stop_has_the_inputs_of_parts_never_created(new_bedrock, cloud, when):
    mount = start(new_bedrock, cloud)
    if when == "in the queue":
        job = queued_job(mount, cloud, "dropped", 60, slots=1)
        assert len(cloud.keys()) >= 6
    else:
        cloud.front.fault("PutObject", "slow", -1, skip=3, value=0.5)
        job = mount.job("dropped")
        job.fill(b"".join(many(60)), CLAUDE)
        until(lambda: len(cloud.keys()) >= 3, 10)
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    cloud.front.clear()
    until(lambda: not cloud.front.at_once, 10)  # an upload that was cut off arrives all the same
    job.ctl("purge")
    until(lambda: "Z purged" in job.read("log"), 15, "it does not end")
    assert cloud.keys() == []


def test_two_large_jobs_move_on_together(new_bedrock, cloud):
    cloud.knobs.durations.update(InProgress=0.1)
    mount = start(new_bedrock, cloud)
    cloud.knobs.max_jobs = 2
    jobs = [mount.job("one"), mount.job("two")]
    for job in jobs:
        job.fill(b"".join(many(80)), CLAUDE)
    for job in jobs:
        assert job.wait_end() == "Completed"
        assert len(job.lines()) == 80
    order = [j.name[:3] for j in cloud.double.jobs()]
    assert len(order) == 16
    second = order.index("two")
    turns = order[second:second + 8]
    assert 3 <= turns.count("two") <= 5, order


def test_a_removed_job_comes_back_in_none_of_its_parts(new_bedrock, cloud):
    mount = start(new_bedrock, cloud, {"jobs": "all"})
    mount.run_job("gone", list(many(30)))
    sh(f"rm -r {mount.dir}/gone", check=0)
    mount.restart()
    look = mount.job("look")
    look.ctl("refresh")
    until(lambda: cloud.double.seen("ListModelInvocationJobs"), 10)
    time.sleep(0.5)
    assert [n for n in os.listdir(mount.dir) if not n.startswith(".")] == ["look"]


def test_elsewhere_each_part_is_a_directory(new_bedrock, cloud):
    data = list(many(30))
    here, there = start(new_bedrock, cloud), new_bedrock({"jobs": "all"}).start()
    here.run_job("shared", data)
    look = there.job("look")

    def seen():
        look.ctl("refresh")
        time.sleep(0.1)
        names = sorted(n for n in os.listdir(there.dir) if n.startswith("shared"))
        return names if len(names) == 3 else None

    names = until(seen, 15, "not all parts are seen")
    assert "shared" in names and all(n == "shared" or n[6] == "-" for n in names)
    found = []
    for name in names:
        part = there.job_at(name)
        part.ctl("fetch")
        assert sh(f"cat {part}/wait", check=0).stdout == "Completed\n"
        assert len(part.lines()) == 10
        found += ids_in((part / "output.jsonl").read_bytes())
    assert sorted(found) == sorted(ids_in(b"".join(data)))


def test_a_rename_in_the_queue_changes_nothing(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    job = queued_job(mount, cloud, "before", 40, seconds=1.5)
    until(lambda: jobs_line(mount, "before") == ("0/1/4", "1"), 5)
    os.rename(job, mount.dir / "after")
    assert jobs_line(mount, "after") == ("0/1/4", "1")
    cloud.knobs.durations["InProgress"] = 0.1
    job = mount.job_at("after")
    assert job.wait_end() == "Completed"
    assert len(cloud.double.jobs()) == 4
    check_complete(job, list(many(40)))
    check_books(job, cloud)


def test_a_rename_in_an_upload_is_seen_at_once(new_bedrock, cloud):
    mount = start(new_bedrock, cloud)
    cloud.front.fault("PutObject", "slow", -1, value=1)
    job = mount.job("before")
    job.fill(b"".join(many(30)), CLAUDE)
    job.wait_state("Uploading")
    until(lambda: cloud.front.at_once, 10)
    os.rename(job, mount.dir / "after")
    assert [n for n in os.listdir(mount.dir) if not n.startswith(".")] == ["after"]
    until(lambda: jobs_line(mount, "after")[0] == "0/0/3", 0.9, "its parts are not shown")
    cloud.front.clear()
    assert mount.job_at("after").wait_end() == "Completed"


@pytest.mark.short
@pytest.mark.parametrize("how", ["unmounted", "killed"])
def test_another_mount_goes_on_with_the_queue(new_bedrock, cloud, how):
    """And it knows the account's limits before it creates anything."""
    mount = start(new_bedrock, cloud)
    job = queued_job(mount, cloud, "on", 50, slots=2)
    mount.stop() if how == "unmounted" else mount.kill()
    cloud.knobs.durations["InProgress"] = 0.1
    mount.start()
    time.sleep(0.5)
    assert len(cloud.double.seen("CreateModelInvocationJob")) == 2, "one too many is tried"
    until(lambda: jobs_line(mount, "on") == ("0/2/5", "1"), 5)
    job.ctl("stop")
    job.wait_end()
    assert len(cloud.double.jobs()) == 2
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, list(many(50)))
    check_books(job, cloud)
