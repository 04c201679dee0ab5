"""docs/semantics.md, "Dedupe", over bedrock: what is equal is sent once, and what is known not at all."""

import csv
import json
import os

import pytest

from bedrockkit import BUCKET, CLAUDE, NOVA, check_complete
from inputs import ids_of, line, record, records
from mountkit import sh, until

# of CLAUDE in the table of the program, in USD per 1e6 tokens
IN, OUT = 1.65, 8.25


def status_json(job):
    return json.loads(job.read("status.json"))


def cost_line(job, name):
    found = [row for row in job.read("cost").splitlines() if row.split()[:1] == [name]]
    return found[0] if found else None


def sent(cloud, name):
    """What the one job of that name was given."""
    made, = cloud.double.jobs(name)
    uri = made.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    body = cloud.s3.client().get_object(Bucket=BUCKET, Key=uri.split("/", 3)[3])["Body"].read()
    return body.splitlines()


@pytest.fixture
def mount(new_bedrock, cloud):
    cloud.knobs.min_records = 1
    return new_bedrock({"min_records": "1", "dedupe": "yes"}).start()


def copies(count, each=3, prefix="rec-"):
    """count questions, each asked so many times, mixed."""
    return [record(f"{prefix}{n:03d}-{i:03d}", f"question {i}")
            for n in range(each) for i in range(count)]


@pytest.mark.short
def test_equal_records_are_sent_once_and_each_has_its_result(mount, cloud):
    data = copies(10)
    job = mount.run_job("one", data)
    assert job.status() == "Completed"
    assert ids_of(sent(cloud, "one")) == ids_of(data[:10]), "the first of each, under its own id"
    check_complete(job, data)
    assert sorted(os.listdir(job / "output")) == sorted(i + ".json" for i in ids_of(data))
    told = status_json(job)
    assert told["records"] == {"total": 30, "good": 30, "failed": 0, "remaining": 0}
    assert told["saved"]["records"] == 20
    paid, saved = told["tokens"], told["saved"]["tokens"]
    assert saved == {k: 2 * v for k, v in paid.items()}, "two copies of each are free"
    with open(job / "results.csv", encoding="utf-8", newline="") as f:
        table = list(csv.DictReader(f))
    assert sum(int(r["input_tokens"]) for r in table) == paid["input"] + saved["input"]
    usd = (saved["input"] * IN + saved["output"] * OUT) / 1e6
    assert "20 records" in cost_line(job, "saved") and f"{usd:.6f}"[:7] in cost_line(job, "saved")
    paid_usd = (paid["input"] * IN + paid["output"] * OUT) / 1e6
    assert told["cost"]["total_usd"] == pytest.approx(paid_usd, rel=1e-3)
    assert "dedupe: of 30 records 10 are sent, 20 are copies, 0 are known" in job.read("log")


def test_without_it_all_are_sent(new_bedrock, cloud):
    mount = new_bedrock().start()
    mount.run_job("one", copies(10))
    assert len(sent(cloud, "one")) == 30
    mount.run_job("two", copies(10), config="dedupe = yes\n")
    two, = cloud.double.jobs("two") or [None]
    assert two is None, "all of it is known"


def test_equal_is_what_means_the_same(mount, cloud):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100,
            "messages": [{"role": "user", "content": "hi \u00e4"}]}
    other = dict(reversed(list(body.items())))
    data = [line({"recordId": "a", "modelInput": body}),
            line({"recordId": "order", "modelInput": other}),
            b'{"recordId":"space",  "modelInput": ' + json.dumps(body, indent=None).encode() +
            b" }\n",
            line({"recordId": "number", "modelInput": {**body, "max_tokens": 101}}),
            line({"recordId": "case", "modelInput": {
                **body, "messages": [{"role": "user", "content": "Hi \u00e4"}]}})]
    job = mount.run_job("one", data)
    assert job.status() == "Completed"
    assert ids_of(sent(cloud, "one")) == ["a", "number", "case"]
    check_complete(job, data)


def test_records_without_ids(mount, cloud):
    data = [record(None, "same"), record(None, "other"), record(None, "same")]
    job = mount.run_job("one", data)
    assert job.status() == "Completed"
    assert ids_of(job.lines()) == ["r0000001", "r0000002", "r0000003"]
    assert ids_of(sent(cloud, "one")) == ["r0000001", "r0000002"]


def test_copies_of_what_failed_have_failed(mount, cloud):
    data = [record("a", "[[error:400:no]]"), record("b", "fine"), record("c", "[[error:400:no]]")]
    job = mount.run_job("one", data)
    assert job.status() == "CompletedWithErrors"
    assert status_json(job)["records"] == {"total": 3, "good": 1, "failed": 2, "remaining": 0}
    assert ids_of(job.lines("retry.jsonl")) == ["a", "c"]
    job.ctl("retry")
    assert job.read("wait") == "CompletedWithErrors\n"
    second = cloud.double.jobs()[1]
    assert second.counters[0] == 1, "and are sent once, again"


def test_copies_of_what_is_missing_are_missing_and_retried(mount, cloud):
    data = copies(10)
    with cloud.double.setting(end="PartiallyCompleted"):
        job = mount.run_job("one", data)
    assert job.status() == "PartiallyCompleted"
    assert status_json(job)["records"]["good"] == 15
    job.ctl("retry")
    assert job.read("wait") == "Completed\n"
    check_complete(job, data)
    assert cloud.double.jobs()[1].counters[0] == 5


# --- results of earlier jobs ---


def ask_again(mount, cloud, name, expected_sent, count=10):
    data = copies(count, 1, f"{name}-")
    job = mount.run_job(name, data)
    assert job.status() == "Completed"
    check_complete(job, data)
    made = cloud.double.jobs(name)
    assert sum(j.counters[0] for j in made) == expected_sent
    return job


@pytest.mark.short
def test_what_an_earlier_job_knows_is_not_sent(mount, cloud):
    first = mount.run_job("first", copies(7, 1))
    job = ask_again(mount, cloud, "second", 3)
    told = status_json(job)
    assert told["saved"]["records"] == 7
    assert "dedupe: results of 7 records are those of job first" in job.read("log")
    assert "7 records" in cost_line(job, "saved")
    assert [json.loads(a)["modelOutput"] for a in first.lines()] == \
        [json.loads(b)["modelOutput"] for b in job.lines()[:7]]
    manifest_in = told["tokens"]["input"]
    assert told["saved"]["tokens"]["input"] + manifest_in == 20


def test_a_job_with_nothing_left_to_send_is_complete_at_once(mount, cloud):
    mount.run_job("first", copies(10, 1))
    cloud.double.fault("*", "503", count=0)
    before = len(cloud.keys())
    job = ask_again(mount, cloud, "second", 0)
    assert len(cloud.keys()) == before and not cloud.double.jobs("second")
    told = status_json(job)
    assert told["tokens"] == {"input": 0, "output": 0} and told["saved"]["records"] == 10
    assert told["cost"]["total_usd"] == 0
    assert "of 10 records 0 are sent" in job.read("log")
    assert "purge" not in job.read("ctl").split("\n"), "the service has nothing of it"


def test_it_is_known_after_a_remount(mount, cloud):
    mount.run_job("first", copies(10, 1))
    mount.restart()
    ask_again(mount, cloud, "second", 0)


def test_it_is_known_after_the_cache_is_deleted(mount, cloud):
    first = mount.run_job("first", copies(10, 1))
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    first.wait_state("Completed")
    second = ask_again(mount, cloud, "second", 0)
    lines = second.lines()
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    second.wait_state("Completed")
    assert second.lines() == lines
    assert status_json(second)["saved"]["records"] == 10


def test_the_earlier_job_may_go(mount, cloud):
    first = mount.run_job("first", copies(7, 1))
    second = ask_again(mount, cloud, "second", 3)
    lines = second.lines()
    first.ctl("purge")
    until(lambda: "purge" not in first.read("ctl").split("\n"))
    sh(f"rm -r {first}", check=0)
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    second.wait_state("Completed")
    assert second.lines() == lines
    ask_again(mount, cloud, "third", 0)
    sh(f"rm -r {second}", check=0)
    ask_again(mount, cloud, "fourth", 0)


def test_a_purged_job_is_known_still(mount, cloud):
    first = mount.run_job("first", copies(10, 1))
    first.ctl("purge")
    until(lambda: "purge" not in first.read("ctl").split("\n"))
    ask_again(mount, cloud, "second", 0)


def test_of_what_is_gone_nothing_is_known(mount, cloud):
    first = mount.run_job("first", copies(10, 1))
    sh(f"rm -r {first}", check=0)
    ask_again(mount, cloud, "second", 10)


def test_another_model_or_invocation_knows_nothing(mount, cloud):
    def asked(text):
        return [line({"recordId": "a", "modelInput": {
            "messages": [{"role": "user", "content": [{"text": text}]}],
            "inferenceConfig": {"maxTokens": 50}}})]

    mount.run_job("first", asked("x"), NOVA)
    mount.run_job("second", asked("x"), CLAUDE, config="invocation = Converse\n")
    mount.run_job("third", asked("x"), NOVA, config="invocation = Converse\n")
    mount.run_job("fourth", asked("x"), NOVA, config="tags = a:b\n")
    assert [len(cloud.double.jobs(n)) for n in ("first", "second", "third", "fourth")] == \
        [1, 1, 1, 0]


def test_failed_results_are_not_used(mount, cloud):
    with cloud.double.setting(error_rate=1.0, error_code=400):
        mount.run_job("first", copies(5, 1))
    ask_again(mount, cloud, "second", 5, 5)


def test_what_a_mount_without_it_ran_serves_one_with_it(mount, cloud):
    mount.run_job("first", copies(10, 1), config="dedupe = no\n")
    ask_again(mount, cloud, "second", 0)


def test_jobs_made_elsewhere_are_not_used_as_it_is_not_known_how_they_were_run(mount, cloud, sdk):
    data = copies(10, 1)
    uri = cloud.put_input("theirs", data)
    sdk.run(("CreateModelInvocationJob", cloud.job_input("theirs", uri)))
    mount.restart()
    job = mount.job_at("theirs")
    until((job / "status").exists, 20, "it is not found")
    assert job.read("wait") == "Completed\n"
    ask_again(mount, cloud, "second", 10)


# --- with what else there is ---


def test_under_the_minimum_copies_are_sent_after_all(new_bedrock, cloud):
    cloud.knobs.min_records = 10
    mount = new_bedrock({"min_records": "10", "dedupe": "yes"}).start()
    data = copies(4, 5)
    job = mount.run_job("one", data)
    assert job.status() == "Completed"
    check_complete(job, data)
    assert len(sent(cloud, "one")) == 10
    assert status_json(job)["saved"]["records"] == 10


@pytest.mark.parametrize("small, how", [("pad", "padded"), ("ondemand", "ondemand")])
def test_under_the_minimum_small_goes_before_copies(new_bedrock, cloud, small, how):
    cloud.knobs.min_records = 10
    mount = new_bedrock({"min_records": "10", "dedupe": "yes", "small": small}).start()
    data = copies(4, 5)
    job = mount.run_job("one", data)
    assert job.status() == "Completed"
    check_complete(job, data)
    told = status_json(job)
    assert told["attempts"][0]["how"] == how
    assert told["saved"]["records"] == 16
    assert cloud.double.runtime.summary()["bought"] == (4 if small == "ondemand" else 0)
    assert told["padding"]["records"] == (6 if small == "pad" else 0)


def test_media_is_never_answered_out_of_another_job(mount, cloud):
    def with_image(job_id):
        return [line({"recordId": job_id, "modelInput": {
            "messages": [{"role": "user", "content": [{"text": "what"}, {"image": {
                "format": "png", "source": {"s3Location": {"uri": "media://a.png"}}}}]}],
            "inferenceConfig": {"maxTokens": 50}}})]

    for name in ("first", "second"):
        job = mount.job(name)
        (job / "media").mkdir()
        (job / "media" / "a.png").write_bytes(name.encode())
        job.fill(with_image(name), NOVA)
        assert job.wait_end() == "Completed"
    assert len(cloud.double.jobs("second")) == 1


def test_kill_9_before_the_end_saves_the_same(mount, cloud):
    mount.run_job("first", copies(5, 1))
    data = copies(10)
    job = mount.job("second")
    with cloud.double.setting(durations={**cloud.knobs.durations, "InProgress": 1.0}):
        job.fill(data, CLAUDE)
        job.wait_state("InProgress")
    mount.kill()
    mount.start()
    assert job.wait_end() == "Completed"
    check_complete(job, data)
    assert status_json(job)["saved"]["records"] == 25
    assert len(sent(cloud, "second")) == 5


def test_the_estimate_of_max_cost_is_of_all_records(new_bedrock, cloud):
    """What is equal is looked for after a job is submitted: the estimate is an upper one."""
    cloud.knobs.min_records = 1
    mount = new_bedrock({"min_records": "1", "dedupe": "yes", "max_cost": "0.001"}).start()
    job = mount.job("one")
    job.fill(copies(10), CLAUDE)
    assert job.wait_state("Held", "Completed") == "Held"


def test_another_template_knows_nothing(new_mount):
    local = new_mount({"dedupe": "yes"}).start()
    data = copies(3, 1)
    for word in ("one", "two"):
        job = local.run(word, data, "builtin.template", f"template = {word}\n")
        assert job.read("text/rec-000-000.txt") == word + "\n"
    assert status_json(job)["saved"]["records"] == 0


def test_on_local_too(new_mount):
    local = new_mount({"dedupe": "yes"}).start()
    job = local.run("one", copies(10))
    assert job.status() == "Completed" and len(job.lines()) == 30
    assert status_json(job)["saved"]["records"] == 20
    again = local.run("two", copies(10, 1, "x-"))
    assert again.status() == "Completed" and status_json(again)["saved"]["records"] == 10
