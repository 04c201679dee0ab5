"""docs/semantics.md over bedrock: jobs made here, each end they may come to, and their results."""

import csv
import json

import pytest

from bedrockkit import BUCKET, CLAUDE, NOVA, check_complete, with_media
from inputs import ids_of, line, record, records
from mountkit import sh, until

LLAMA, TITAN = "meta.llama3-1-8b-instruct-v1:0", "amazon.titan-embed-text-v2:0"
MISTRAL, DEEPSEEK = "mistral.mistral-small-2402-v1:0", "deepseek.v3.2"


def status_json(job):
    return json.loads(job.read("status.json"))


def error_of(row):
    """A result line's error, in whichever of the service's two forms."""
    return row.get("error") or {k: row["modelOutput"][k] for k in ("errorCode", "errorMessage")}


@pytest.mark.short
def test_a_thousand_records_with_cp_echo_and_cat(new_bedrock, cloud, base):
    cloud.knobs.min_records = 100
    mount = new_bedrock({"min_records": None}).start()
    data = records(1000)
    (base / "in.jsonl").write_bytes(b"".join(data))
    sh(f"mkdir {mount.dir}/audit && cp {base}/in.jsonl {mount.dir}/audit/input.jsonl"
       f" && echo {CLAUDE} > {mount.dir}/audit/model", check=0)
    assert sh(f"cat {mount.dir}/audit/wait", check=0).stdout == "Completed\n"
    job = mount.job_at("audit")
    check_complete(job, data)
    assert sh(f"cat {job}/status", check=0).stdout == "Completed\n"
    assert sh(f"grep -l 'text of rec-00777' {job}/text/*", check=0).stdout.strip() == \
        f"{job}/text/rec-00777.txt"
    made = cloud.only_job()
    assert made.body["roleArn"] and made.body["modelId"] == CLAUDE
    assert made.name.startswith("audit-") and made.body["clientRequestToken"]
    part = status_json(job)["parts"][0]
    assert part["provider_id"] == made.arn and part["provider_status"] == "Completed"
    assert status_json(job)["tokens"]["input"] > 0


@pytest.mark.parametrize("knobs, word, good, failed, missing", [
    ({}, "Completed", 40, 0, 0),
    ({"error_rate": 0.4}, "CompletedWithErrors", None, None, 0),
    ({"error_rate": 1.0}, "Failed", 0, 40, 0),
    ({"end": "PartiallyCompleted"}, "PartiallyCompleted", 20, 0, 20),
    ({"end": "Stopped"}, "Stopped", 20, 0, 20),
    ({"end": "Expired"}, "Expired", 0, 0, 40),
    ({"end": "Failed"}, "Failed", 0, 0, 40),
    ({"fail_message": "Could not validate GetObject permissions to access Amazon S3 bucket: "
      "b at key k"}, "Failed", 0, 0, 40),
], ids=["completed", "some fail", "all fail", "partial", "stopped", "expired", "failed",
        "not valid"])
def test_each_end_and_its_results(new_bedrock, cloud, knobs, word, good, failed, missing):
    mount = new_bedrock().start()
    data = records(40)
    with cloud.double.setting(**knobs):
        job = mount.run_job("one", data)
    assert job.status() == word
    rows = [json.loads(item) for item in job.lines()]
    failures = [json.loads(item) for item in job.lines("errors.jsonl")]
    asked_again = ids_of(job.lines("retry.jsonl"))
    all_ids = ids_of(data)
    by_code = [error_of(f)["errorCode"] for f in failures]
    counts = status_json(job)["records"]
    assert counts["total"] == 40
    assert counts["good"] + len(failures) == 40
    assert by_code.count("Missing") == missing
    if good is not None:
        assert (counts["good"], len(failures) - missing) == (good, failed)
    order = ids_of([line(r) for r in rows])
    assert order == [i for i in all_ids if i in set(order)], "the order of the input"
    assert asked_again == [f["recordId"] for f in failures]
    with open(job / "results.csv", encoding="utf-8", newline="") as f:
        table = [row["status"] for row in csv.DictReader(f)]
    assert table.count("good") == counts["good"] and table.count("missing") == missing
    if word in ("Failed", "Expired"):
        assert job.read("error").strip(), "why, and the cure"
    mount.kill()
    mount.start()
    assert job.status() == word and len(job.lines("errors.jsonl")) == len(failures)


def test_errors_of_both_forms_are_told_alike(new_bedrock, cloud):
    mount = new_bedrock().start()
    data = records(6) + [record("bad-a", "[[error:400:messages were odd]]"),
                         record("bad-b", "[[error:429:Too many requests]]"),
                         record("gone", "[[missing]]")]
    job = mount.run_job("one", data)
    assert job.status() == "PartiallyCompleted", "one was not run"
    rows = [json.loads(item) for item in job.lines("errors.jsonl")]
    assert sum("error" not in r for r in rows) == 1, "one of the forms each"
    errors = {r["recordId"]: error_of(r) for r in rows}
    assert errors["bad-a"] == {"errorCode": 400, "errorMessage": "messages were odd"}
    assert errors["bad-b"] == {"errorCode": 429, "errorMessage": "Too many requests"}
    assert errors["gone"]["errorCode"] == "Missing"
    with open(job / "results.csv", encoding="utf-8", newline="") as f:
        table = {row["record_id"]: row for row in csv.DictReader(f)}
    assert table["bad-a"]["error_message"] == "messages were odd"
    assert (table["bad-b"]["error_code"], table["gone"]["status"]) == ("429", "missing")
    assert not (job / "text" / "bad-b.txt").exists() and (job / "output" / "bad-b.json").exists()


BODIES = {
    NOVA: lambda t: {"messages": [{"role": "user", "content": [{"text": t}]}],
                     "inferenceConfig": {"maxTokens": 50}},
    LLAMA: lambda t: {"prompt": t, "max_gen_len": 50},
    MISTRAL: lambda t: {"prompt": t, "max_tokens": 50},
    DEEPSEEK: lambda t: {"messages": [{"role": "user", "content": t}], "max_tokens": 50},
    "Converse": lambda t: {"messages": [{"role": "user", "content": [{"text": t}]}],
                           "inferenceConfig": {"maxTokens": 50}},
}


@pytest.mark.parametrize("family", list(BODIES))
def test_the_text_of_each_family(new_bedrock, cloud, family):
    from answers import answer_text

    mount = new_bedrock().start()
    data = [line({"recordId": f"r{i}", "modelInput": BODIES[family](f"question {i}")})
            for i in range(5)]
    converse = family == "Converse"
    job = mount.run_job("one", data, CLAUDE if converse else family,
                        "invocation = Converse\n" if converse else None)
    assert job.status() == "Completed", job.read("error")
    for i in range(5):
        assert job.read(f"text/r{i}.txt").rstrip("\n") == answer_text(f"question {i}")
    assert cloud.only_job().body.get("modelInvocationType", "InvokeModel") == (
        "Converse" if converse else "InvokeModel")


def test_embeddings(new_bedrock):
    mount = new_bedrock().start()
    data = [line({"recordId": f"r{i}", "modelInput": {"inputText": f"t {i}", "dimensions": 256}})
            for i in range(4)]
    job = mount.run_job("one", data, TITAN)
    assert job.status() == "Completed"
    row = json.loads((job / "output" / "r2.json").read_bytes())
    assert len(row["modelOutput"]["embedding"]) == 256


def test_records_without_ids_get_ours_before_they_leave(new_bedrock, cloud):
    mount = new_bedrock().start()
    data = [record(None, f"text {i}") for i in range(5)]
    job = mount.run_job("one", data)
    check_complete(job, data)
    assert ids_of(job.lines()) == [f"r{i:07d}" for i in range(1, 6)]
    sent = [k for k in cloud.keys() if k.endswith(".jsonl")]
    body = cloud.s3.client().get_object(Bucket=BUCKET, Key=sent[0])["Body"].read()
    assert b'"recordId":"r0000001"' in body.replace(b" ", b"")


def test_config_reaches_the_service(new_bedrock, cloud):
    mount = new_bedrock({"tags": "team:blue", "subnets": "subnet-1;subnet-2",
                         "security_groups": "sg-1"}).start()
    other = "arn:aws:iam::111122223333:role/Other"
    cloud.double.add_role(other)
    job = mount.run_job("one", records(4), config=f"role = {other}\ntimeout = 48\n"
                        "tags = team:red;cost:7\n")
    assert job.status() == "Completed", job.read("error")
    body = cloud.only_job().body
    assert body["roleArn"] == other and body["timeoutDurationInHours"] == 48
    assert body["vpcConfig"] == {"subnetIds": ["subnet-1", "subnet-2"],
                                 "securityGroupIds": ["sg-1"]}
    tags = cloud.only_job().tags
    assert tags["team"] == "red" and tags["cost"] == "7"
    sh(f"echo 'timeout = 5' > {mount.job('two')}/config", check=1)


def test_media_travel_beside_the_input(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("one")
    (job / "media").mkdir()
    (job / "media" / "a.png").write_bytes(b"\x89PNG one")
    (job / "media" / "b.png").write_bytes(b"\x89PNG two")
    data = with_media(4, "a.png", "b.png")
    job.fill(data, NOVA)
    assert job.wait_end() == "Completed", job.read("error")
    check_complete(job, data)
    made = cloud.only_job()
    folder = made.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    assert not folder.endswith(".jsonl"), "with media the input is a folder"
    prefix = folder.removeprefix(f"s3://{BUCKET}/")
    assert len([k for k in cloud.s3.keys(BUCKET, prefix) if k.endswith(".png")]) == 2


def test_medium_that_is_not_there_is_told_before_anything_is_sent(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("one")
    data = with_media(3, "none.png")
    job.fill(data, NOVA)
    job.wait_state("Invalid")
    assert "none.png" in job.read("error") and cloud.double.jobs() == []


def test_jobs_wait_for_the_quota_of_jobs(new_bedrock, cloud):
    mount = new_bedrock({"max_jobs": "1"}).start()
    cloud.knobs.max_jobs = 1
    jobs = [mount.job(f"job-{i}") for i in range(3)]
    for job in jobs:
        job.fill(records(5), CLAUDE)
    for job in jobs:
        assert job.wait_end(40) == "Completed"
    assert len(cloud.double.jobs()) == 3
    assert not [r for r in cloud.double.seen("CreateModelInvocationJob") if r.status != 200]


def test_a_quota_that_is_smaller_than_we_know_is_waited_for(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.knobs.max_jobs = 1
    with cloud.double.setting(durations={"InProgress": 2.0}):
        first, second = mount.job("first"), mount.job("second")
        first.fill(records(5))
        (first / "model").write_text(CLAUDE + "\n")
        until(lambda: cloud.double.jobs("first"), 10)
        second.fill(records(5), CLAUDE)
        assert second.wait_state("Queued", "Completed") == "Queued"
    assert first.wait_end() == "Completed"
    assert second.wait_end(40) == "Completed"
    assert len(cloud.double.jobs()) == 2


def test_retry_runs_what_failed_and_merges(new_bedrock, cloud):
    mount = new_bedrock().start()
    data = records(40)
    with cloud.double.setting(error_rate=0.5):
        job = mount.run_job("one", data)
    failures = ids_of(job.lines("retry.jsonl"))
    assert job.status() == "CompletedWithErrors" and len(failures) >= 3
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, data)
    first, second = cloud.double.jobs()
    assert second.counters[0] == len(failures)
    assert first.body["clientRequestToken"] != second.body["clientRequestToken"]


def test_stop_keeps_what_was_done(new_bedrock, cloud):
    mount = new_bedrock().start()
    with cloud.double.setting(durations={"InProgress": 20, "Stopping": 0.2}, done_share=0.5):
        job = mount.job("one")
        job.fill(records(20), CLAUDE)
        job.wait_state("InProgress")
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    assert len(job.lines()) == 10 and len(job.lines("retry.jsonl")) == 10
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, records(20))


def test_output_that_is_listed_late_is_waited_for(new_bedrock, cloud):
    mount = new_bedrock().start()
    data = records(5)
    with cloud.double.setting(late_output=2.0):
        job = mount.run_job("one", data)
    check_complete(job, data)


def test_output_of_a_stopped_job_that_nobody_promised_is_waited_for(new_bedrock, cloud):
    """Its counts were still 0 when it was stopped; it had run, and that is paid for."""
    mount = new_bedrock({"results_grace": "8"}).start()
    with cloud.double.setting(durations={"InProgress": 20, "Stopping": 0.2}, counter_lag=1.0,
                              done_share=0.5, late_output=1.5):
        job = mount.job("one")
        job.fill(records(20), CLAUDE)
        job.wait_state("InProgress")
    job.ctl("stop")
    until(lambda: "looked for until 8 seconds" in job.read("error"), 10, "it is not said")
    assert job.status() == "Fetching"
    assert job.wait_end() == "Stopped"
    assert len(job.lines()) == 10 and len(job.lines("retry.jsonl")) == 10
    assert job.read("error") == ""


def test_outputs_without_a_last_newline_or_a_manifest(new_bedrock, cloud):
    mount = new_bedrock().start()
    data = records(5)
    with cloud.double.setting(final_newline=False, manifest=False):
        job = mount.run_job("one", data)
    check_complete(job, data)


def test_cost_and_links(new_bedrock):
    mount = new_bedrock().start()
    job = mount.run_job("one", records(5), CLAUDE)
    assert "USD" in job.read("cost") or "$" in job.read("cost"), job.read("cost")
    assert "console.aws.amazon.com" in job.read("status.json")


def test_a_dear_job_is_held(new_bedrock, cloud):
    mount = new_bedrock({"max_cost": "0.00001"}).start()
    job = mount.job("one")
    job.fill(records(200), CLAUDE)
    job.wait_state("Held")
    sh("sleep 0.5")
    assert cloud.double.jobs() == []
    job.ctl("submit")
    assert job.wait_end() == "Completed"


def test_purge_deletes_what_we_put_there(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.run_job("one", records(5))
    assert len(cloud.keys()) >= 3
    if "purge" not in job.read("ctl").split():
        pytest.skip("there is no purge yet")
    job.ctl("purge")
    until(lambda: cloud.keys() == [], 10, "objects were left")
    check_complete(job, records(5))


def test_the_input_is_lint_before_it_is_sent(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("one")
    bad = [line({"recordId": f"r{i}", "modelInput": {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": "x"}]}}) for i in range(3)]
    job.fill(bad, CLAUDE)
    job.wait_state("Invalid")
    assert "max_tokens" in job.read("error") and cloud.double.jobs() == []
    (job / "input.jsonl").write_bytes(b"".join(records(3)))
    assert job.wait_end() == "Completed"


def test_too_few_records_are_told_before_they_are_sent(new_bedrock, cloud):
    cloud.knobs.min_records = 100
    mount = new_bedrock({"min_records": None}).start()
    job = mount.job("one")
    job.fill(records(99), CLAUDE)
    job.wait_state("Invalid")
    assert "100" in job.read("error") and cloud.double.jobs() == [] and cloud.keys() == []
