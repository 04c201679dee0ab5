"""docs/semantics.md, "Jobs made elsewhere": the service's list and the mount's directories agree."""

import json
import os
import select
import time

import pytest

from bedrockkit import BUCKET, check_complete
from inputs import record, records
from mountkit import sh, until


def names(mount):
    return sorted(n for n in os.listdir(mount.dir) if not n.startswith("."))


def see(mount, *wanted):
    """The directories of jobs made elsewhere, looked for now and not at the next idle poll."""
    look = mount.dir / "look"
    look.mkdir(exist_ok=True)

    def seen():
        (look / "ctl").write_text("refresh\n")
        time.sleep(0.1)
        there = [n for n in names(mount) if n != "look"]
        return there if len(there) >= len(wanted) else None

    try:
        there = until(seen, 15, "not seen")
    finally:
        look.rmdir()
    if all(wanted):
        assert there == sorted(wanted)
    return mount.job_at(there[0])


def made_by_sdk(cloud, sdk, name, lines, **more):
    uri = cloud.put_input(name.replace("+", "."), lines)
    answer = sdk("CreateModelInvocationJob", **cloud.job_input(name, uri, **more))
    return cloud.double.plane.jobs[answer["jobArn"]]


def ended(job):
    with job.changed:
        assert job.changed.wait_for(lambda: not job.live, 15)
    return job


def test_a_word_that_is_not_known_is_shown_as_it_came(new_bedrock, cloud):
    made = cloud.double.plant(1, status="Paused", prefix="later", bucket=BUCKET)[0]
    mount = new_bedrock().start()
    job = see(mount, made.name)
    assert job.status() == "Paused"
    with open(job / "next", "rb") as following, open(job / "status", "rb") as status:
        watch = select.poll()
        watch.register(status, select.POLLPRI)
        made.enter("Resuming")
        assert following.read() == b"Resuming\n"
        assert watch.poll(10_000)
    assert json.loads(job.read("status.json"))["ended"] is False
    made.enter("Completed")
    job.wait_state("Completed")


@pytest.mark.slow
@pytest.mark.limit(180)
def test_ten_thousand_jobs_take_ten_lists_and_then_one_a_poll(new_bedrock, cloud):
    cloud.double.plant(10_000, prefix="old", bucket=BUCKET)
    mount = new_bedrock({"poll": "30"}).start()
    until(lambda: len(names(mount)) == 10_000, 90, "not all were found")
    assert len(cloud.double.seen("ListModelInvocationJobs")) <= 11
    with cloud.double.lock:
        cloud.double.requests.clear()
    mount.job_at(names(mount)[0]).ctl("refresh")
    until(lambda: cloud.double.seen(), 10, "it did not ask")
    sh("sleep 1")
    assert len(cloud.double.seen()) == 1
    mount.restart()
    assert len(names(mount)) == 10_000


@pytest.mark.short
def test_a_job_made_by_the_sdk_is_read_through_the_mount(new_bedrock, cloud, sdk):
    data = records(30)
    made = ended(made_by_sdk(cloud, sdk, "by-sdk", data))
    mount = new_bedrock().start()
    job = see(mount, "by-sdk")
    assert job.wait_end() == "Completed"
    assert "claude-sonnet-4-6" in job.read("model")
    there = os.listdir(job)
    for name in ("input.jsonl", "output.jsonl", "results.csv", "text"):
        assert name not in there, f"{name} is listed, and its size is not known"
    assert "fetch" in job.read("ctl").split()
    job.ctl("fetch")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)
    assert (job / "input.jsonl").read_bytes() == b"".join(data)
    told = json.loads(job.read("status.json"))
    assert told["parts"][0]["provider_id"] == made.arn and told["made_elsewhere"] is True
    mount.restart()
    check_complete(job, data)


def made_of_folder(cloud, sdk, name, files, **more):
    """A job whose input is a folder: {name below it: lines}."""
    for leaf, lines in files.items():
        cloud.s3.client().put_object(Bucket=BUCKET, Key=f"{cloud.prefix}/in/{leaf}",
                                     Body=b"".join(lines))
    given = cloud.job_input(name, f"s3://{BUCKET}/{cloud.prefix}/in/", **more)
    given["outputDataConfig"] = {"s3OutputDataConfig": {
        "s3Uri": f"s3://{BUCKET}/{cloud.prefix}/out/"}}
    return cloud.double.plane.jobs[sdk("CreateModelInvocationJob", **given)["jobArn"]]


def fetch(job):
    job.ctl("fetch")
    return sh(f"cat {job}/wait", check=0).stdout.strip()


@pytest.mark.parametrize("names", ["base", "relative"])
def test_one_of_a_folder_of_files_has_a_result_for_each(new_bedrock, cloud, sdk, names):
    files = {"a.jsonl": records(10, "a-"), "deep/b.jsonl": records(7, "b-"),
             "deep/er/c.jsonl": records(5, "c-")}
    with cloud.double.setting(nested_names=names, final_newline=False):
        ended(made_of_folder(cloud, sdk, "folder", files))
    job = see(new_bedrock().start(), "folder")
    assert fetch(job) == "Completed"
    check_complete(job, [item for lines in files.values() for item in lines])


@pytest.mark.parametrize("end", ["Completed", "PartiallyCompleted"])
def test_records_without_ids_are_found_by_what_they_ask(new_bedrock, cloud, sdk, end):
    """The service invents ids, and writes results in an order of its own."""
    data = [record(None, f"text {i}") for i in range(8)] + [record(None, "text 0")]
    with cloud.double.setting(end=end):
        ended(made_of_folder(cloud, sdk, "no-ids", {"in.jsonl": data}))
    job = see(new_bedrock().start(), "no-ids")
    assert fetch(job) == end
    assert (job / "input.jsonl").read_bytes() == b"".join(data)
    asked = [json.loads(item)["modelInput"]["messages"][0]["content"] for item in data]
    told = [json.loads(item)["modelInput"]["messages"][0]["content"] for item in job.lines()]
    if end == "Completed":
        assert told == asked and job.lines("errors.jsonl") == []
        assert sorted(os.listdir(job / "text")) == [f"r{i:07d}.txt" for i in range(1, 10)]
        for i, question in enumerate(asked, 1):
            assert job.read(f"text/r{i:07d}.txt").startswith(f"Answer to: {question}")
        return
    assert told == [question for question in asked if question in told][:4]
    lost = job.lines("retry.jsonl")
    assert len(lost) == 5 and len(job.lines()) == 4
    assert {json.loads(item)["recordId"] for item in lost} <= {f"r{i:07d}" for i in range(1, 10)}


def test_records_that_share_an_id_are_found_by_what_they_ask(new_bedrock, cloud, sdk):
    data = [record("a", "one"), record("b", "two"), record("a", "three"), record("a", "one")]
    ended(made_of_folder(cloud, sdk, "shared", {"in.jsonl": data}))
    job = see(new_bedrock().start(), "shared")
    assert fetch(job) == "Completed"
    told = [json.loads(item) for item in job.lines()]
    assert [item["recordId"] for item in told] == ["a", "b", "a", "a"]  # as they came
    assert [item["modelInput"] for item in told] == [json.loads(i)["modelInput"] for i in data]
    assert sorted(os.listdir(job / "text")) == [
        "b.txt", "r0000001.txt", "r0000003.txt", "r0000004.txt"]
    assert job.read("text/r0000003.txt").startswith("Answer to: three")
    assert "3 records of the input share their recordId" in job.read("log")


def test_reading_wait_fetches(new_bedrock, cloud, sdk):
    data = records(10)
    mount = new_bedrock().start()
    with cloud.double.setting(durations={"InProgress": 1.0}):
        made_by_sdk(cloud, sdk, "later", data)
    job = see(mount, "later")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)


def test_fetch_auto(new_bedrock, cloud, sdk):
    data = records(5)
    ended(made_by_sdk(cloud, sdk, "auto", data))
    mount = new_bedrock({"fetch": "auto"}).start()
    job = see(mount, "auto")
    until(lambda: (job / "output.jsonl").exists(), 15, "it was not fetched")
    check_complete(job, data)


def test_a_job_made_by_the_mount_is_read_by_the_sdk(new_bedrock, cloud, sdk):
    mount = new_bedrock({"tags": "team:blue"}).start()
    job = mount.run_job("mine", records(5))
    told = json.loads(job.read("status.json"))
    assert told["made_elsewhere"] is False
    arn = told["parts"][0]["provider_id"]
    got, tags, listed = sdk.run(
        ("GetModelInvocationJob", {"jobIdentifier": arn}),
        ("ListTagsForResource", {"resourceARN": arn}),
        ("ListModelInvocationJobs", {"nameContains": "mine"}))
    assert got["status"] == "Completed" and got["jobName"].startswith("mine-")
    assert {"key": "team", "value": "blue"} in tags["tags"]
    assert [r["jobArn"] for r in listed["invocationJobSummaries"]] == [arn]
    out = got["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix(f"s3://{BUCKET}/")
    text, = sdk.run(("GetObject", {"Bucket": BUCKET,
                                   "Key": f"{out}{arn[-12:]}/input.jsonl.out"}))
    assert len(text["Body"].strip("\n").split("\n")) == 5


def test_two_mounts_see_each_others_jobs(new_bedrock):
    here, there = new_bedrock().start(), new_bedrock().start()
    data = records(5)
    here.run_job("shared", data)
    job = see(there, "shared")
    job.ctl("fetch")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)
    assert names(here) == ["shared"], "one's own job does not come back as another's"


def test_a_name_that_is_taken_gets_a_suffix(new_bedrock, cloud, sdk):
    mount = new_bedrock().start()
    mount.job("same")
    made = ended(made_by_sdk(cloud, sdk, "same", records(5)))
    see(mount, "", "")
    other, = set(names(mount)) - {"same"}
    assert other.startswith("same-") and made.id.endswith(other.rpartition("-")[2])


def test_a_taken_name_of_another_mounts_job_gets_a_suffix_that_stays(new_bedrock):
    here, there = new_bedrock().start(), new_bedrock().start()
    there.job("same")
    data = records(5)
    made = json.loads(here.run_job("same", data).read("status.json"))["parts"][0]["provider_id"]
    see(there, "", "")
    other, = set(names(there)) - {"same"}
    assert other.startswith("same-") and made.endswith(other.removeprefix("same-"))
    sh(f"rm -r {there.dir}/same", check=0)
    there.restart()
    assert names(there) == [other], "the name is its own, also once the other one is free"
    job = there.job_at(other)
    job.ctl("fetch")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)


def test_jobs_mine_shows_only_ones_own(new_bedrock, cloud, sdk):
    ended(made_by_sdk(cloud, sdk, "strange", records(5)))
    mount = new_bedrock({"jobs": "mine"}).start()
    mount.run_job("own", records(5))
    sh("sleep 0.5")
    assert names(mount) == ["own"]


def test_jobs_mine_hides_what_an_earlier_mount_has_found(new_bedrock, cloud, sdk):
    ended(made_by_sdk(cloud, sdk, "strange", records(5)))
    ended(made_by_sdk(cloud, sdk, "fetched", records(5)))
    mount = new_bedrock().start()
    see(mount, "fetched", "strange")
    (mount.dir / "strange" / "notes").write_text("mine\n")
    job = mount.job_at("fetched")
    job.ctl("fetch")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    mount.options["jobs"] = "mine"
    mount.restart()
    assert names(mount) == ["fetched"], "what is here stays"
    mount.job("strange")
    del mount.options["jobs"]
    mount.restart()
    other, = set(names(mount)) - {"fetched", "strange"}
    assert (mount.dir / other / "notes").read_text() == "mine\n"
    assert mount.job_at("strange").status() == "Draft"


def test_they_are_looked_for_as_often_as_poll_says(new_bedrock, cloud, sdk):
    mount = new_bedrock({"poll": "0.3"}).start()
    until(lambda: cloud.double.seen("ListModelInvocationJobs"), 10, "it did not look")
    made_by_sdk(cloud, sdk, "later", records(5))
    until(lambda: names(mount) == ["later"], 15, "it was not looked for again")


def test_many_jobs_over_pages_an_empty_one_first(new_bedrock, cloud):
    cloud.double.plant(130, prefix="old", bucket=BUCKET)
    with cloud.double.setting(empty_pages=True, page_max=50):
        mount = new_bedrock().start()
        until(lambda: len(names(mount)) == 130, 15, "not all were found")
    assert mount.job_at("old-000007").status() == "Completed"


def test_rm_forgets_it_here_and_it_does_not_come_back(new_bedrock, cloud, sdk):
    made = ended(made_by_sdk(cloud, sdk, "gone", records(5)))
    mount = new_bedrock().start()
    see(mount, "gone")
    sh(f"rm -r {mount.dir}/gone", check=0)
    sh("sleep 0.5")
    assert names(mount) == []
    mount.restart()
    sh("sleep 0.5")
    assert names(mount) == []
    assert made.arn in cloud.double.plane.jobs and cloud.keys()


def test_one_that_runs_can_be_stopped_and_its_failure_is_told(new_bedrock, cloud, sdk):
    with cloud.double.setting(durations={"InProgress": 30, "Stopping": 0.1}):
        made_by_sdk(cloud, sdk, "running", records(20))
    with cloud.double.setting(fail_message="No jsonl files found in s3URI: s3://x/y"):
        ended(made_by_sdk(cloud, sdk, "broken", records(5)))
    mount = new_bedrock().start()
    see(mount, "running", "broken")
    running, broken = mount.job_at("running"), mount.job_at("broken")
    running.wait_state("InProgress")
    running.ctl("stop")
    assert running.wait_end() == "Stopped"
    assert broken.status() == "Failed" and ".jsonl" in broken.read("error")


def test_what_cannot_be_fetched_is_told(new_bedrock, cloud, sdk):
    made = ended(made_by_sdk(cloud, sdk, "lost", records(5)))
    for key in cloud.keys():
        cloud.s3.client().delete_object(Bucket=BUCKET, Key=key)
    mount = new_bedrock().start()
    job = see(mount, "lost")
    job.ctl("fetch")
    until(lambda: job.read("error").strip(), 20, "nothing was said")
    assert job.status() == "Completed" and made.status == "Completed"


def test_names_of_elsewhere(new_bedrock, cloud, sdk):
    wanted = ["a.b+c-d", "UPPER.lower", "x" * 63]
    calls = [("CreateModelInvocationJob", cloud.job_input(n, cloud.put_input("names", records(3))))
             for n in wanted]
    assert len({r["jobArn"] for r in sdk.run(*calls)}) == 3
    see(new_bedrock().start(), *wanted)
