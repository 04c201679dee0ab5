"""What goes wrong on the way: one job in the service and all results, or words and a cure."""

import json
import os
import time

import pytest

from bedrockkit import BUCKET, CLAUDE, check_complete
from inputs import records
from mountkit import sh, until

DATA = records(12)


def run_through(mount, timeout=40):
    job = mount.run_job("one", DATA, timeout=timeout)
    assert job.status() == "Completed", job.read("error")
    check_complete(job, DATA)
    return job


@pytest.mark.parametrize("kind, count", [
    ("lost", 1), ("cut", 1), ("garbage", 1), ("reset", 1),
    pytest.param("lost", 3, marks=pytest.mark.slow),
    pytest.param("reset", 3, marks=pytest.mark.slow)])
def test_a_create_whose_answer_is_lost_makes_one_job(new_bedrock, cloud, kind, count):
    mount = new_bedrock().start()
    cloud.double.fault("CreateModelInvocationJob", kind, count)
    run_through(mount)
    cloud.only_job()


@pytest.mark.short
def test_a_lost_answer_and_a_token_that_the_service_forgot(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.double.fault("CreateModelInvocationJob", "lost")
    with cloud.double.setting(token_memory=False):
        run_through(mount)
    cloud.only_job()


def test_a_lost_answer_and_a_list_that_fails_for_a_while(new_bedrock, cloud):
    mount = new_bedrock().start()
    with cloud.double.setting(token_memory=False, empty_pages=True):
        cloud.double.fault("CreateModelInvocationJob", "lost")
        cloud.double.fault("ListModelInvocationJobs", "500", 4)
        run_through(mount)
    cloud.only_job()


@pytest.mark.parametrize("kind, count", [
    ("throttle", 5), ("503", 4), pytest.param("throttle400", 30, marks=pytest.mark.slow),
    pytest.param("500", 30, marks=pytest.mark.slow)])
def test_a_storm_at_every_operation(new_bedrock, cloud, kind, count):
    mount = new_bedrock().start()
    cloud.double.fault("*", kind, count)
    run_through(mount, 60)
    cloud.only_job()


def test_a_storm_at_s3(new_bedrock, cloud):
    mount = new_bedrock().start()
    for operation in ("PutObject", "ListObjectsV2", "GetObject"):
        cloud.front.fault(operation, "slowdown", 1)
        cloud.front.fault(operation, "500", 1)
        cloud.front.fault(operation, "reset", 1)
    run_through(mount, 60)
    cloud.only_job()


def test_answers_that_are_slow_hang_no_reader(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("one")
    cloud.double.fault("*", "slow", -1, value=2)
    job.fill(DATA, CLAUDE)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        began = time.monotonic()
        os.listdir(mount.dir)
        os.stat(job / "status")
        job.status()
        assert time.monotonic() - began < 1
        time.sleep(0.05)
    cloud.double.clear_faults()
    assert job.wait_end(60) == "Completed"
    cloud.only_job()


@pytest.mark.parametrize("operation, padding", [("PutObject", 0), ("UploadPart", 2_000_000)])
def test_stop_is_heard_while_an_upload_hangs(new_bedrock, cloud, operation, padding):
    mount = new_bedrock().start()
    job = mount.job("one")
    cloud.front.fault(operation, "slow", -1, value=15)
    job.fill(records(12, text="{id}" + "x" * padding), CLAUDE)
    job.wait_state("Uploading")
    time.sleep(0.5)
    assert job.status() == "Uploading"
    began = time.monotonic()
    job.ctl("stop")
    assert job.wait_end(10) == "Stopped"
    assert time.monotonic() - began < 4
    cloud.front.clear()
    assert not cloud.double.jobs()
    job.ctl("retry")
    assert job.wait_end(40) == "Completed", job.read("error")


def test_sessions_that_end_in_mid_run_are_renewed(new_bedrock, cloud):
    mount = new_bedrock()
    mount.use_process()
    mount.start()
    with cloud.double.setting(durations={"InProgress": 3.0}):
        job = mount.job("one")
        job.fill(DATA, CLAUDE)
        job.wait_state("InProgress")
    asked = mount.keys_asked()
    cloud.double.keyring.expire()
    assert job.wait_end() == "Completed", job.read("error")
    check_complete(job, DATA)
    assert mount.keys_asked() > asked
    cloud.only_job()


def test_short_sessions_through_a_whole_job(new_bedrock, cloud):
    mount = new_bedrock()
    mount.use_process(seconds=2)
    mount.start()
    with cloud.double.setting(durations={"InProgress": 4.0}):
        run_through(mount)
    cloud.only_job()


def test_the_end_of_a_session_at_each_operation_of_s3(new_bedrock, cloud):
    mount = new_bedrock()
    mount.use_process()
    mount.start()
    for operation in ("PutObject", "ListObjectsV2", "GetObject"):
        cloud.front.fault(operation, "expired", 1)
    run_through(mount)
    cloud.only_job()


def test_keys_that_are_dead_are_told_and_the_job_goes_on_with_new_ones(new_bedrock, cloud):
    mount = new_bedrock()
    key = cloud.double.mint("arn:aws:sts::111122223333:assumed-role/dev/x", 3600)
    good = dict(mount.variables)
    mount.variables.update({"AWS_ACCESS_KEY_ID": key.access_key,
                            "AWS_SECRET_ACCESS_KEY": key.secret_key,
                            "AWS_SESSION_TOKEN": key.token})
    mount.start()
    with cloud.double.setting(durations={"InProgress": 2.0}):
        job = mount.job("one")
        job.fill(DATA, CLAUDE)
        job.wait_state("InProgress")
    cloud.double.keyring.expire(key.access_key)
    words = ("expired", "credential")
    until(lambda: all(w in (job.read("status.json") + job.read("log") + job.read("error")).lower()
                      for w in words), 20, "it was not told that the keys are dead")
    mount.stop()
    mount.variables = good
    mount.start()
    assert job.wait_end() == "Completed"
    check_complete(job, DATA)
    cloud.only_job()


@pytest.mark.parametrize("how", ["301", "400"])
def test_a_bucket_of_another_region(new_bedrock, cloud, how):
    """The upload finds its way; the service can not read there, and that is what is said."""
    cloud.double.bucket_regions[BUCKET] = "eu-west-1"
    cloud.front.redirect = how
    mount = new_bedrock().start()
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    word = job.wait_state("Invalid", "Failed", timeout=30)
    said = job.read("error")
    assert "region" in said.lower() and "us-east-1" in said, (word, said)
    assert len(cloud.double.jobs()) <= 1


def test_a_region_that_is_right_is_kept_after_a_redirect(new_bedrock, cloud):
    """The bucket and the job are in eu-west-1; S3 is asked first where it is not."""
    cloud.double.bucket_regions[BUCKET] = "eu-west-1"
    mount = new_bedrock({"region": "eu-west-1"}).start()
    data = records(5)
    job = mount.run_job("one", data, "eu.anthropic.claude-sonnet-4-6")
    check_complete(job, data)
    assert ":eu-west-1:" in cloud.only_job().arn
    assert cloud.front.totals()["PutObject"].statuses.get(301, 0) <= 1


@pytest.mark.parametrize("kind, value", [("cut", 0), ("cut", 700), ("rewrite", None),
                                         ("reset", None), ("slowdown", None)])
def test_downloads_that_break_are_complete_in_the_end(new_bedrock, cloud, kind, value):
    mount = new_bedrock().start()
    cloud.front.fault("GetObject", kind, 2, value=value, key=".jsonl.out")
    run_through(mount)
    cloud.only_job()


def test_a_download_that_breaks_time_and_again_is_told_and_gone_on_with(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.front.fault("GetObject", "cut", -1, value=700, key=".jsonl.out")
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    job.wait_state("Fetching")
    sh("sleep 2")
    assert job.status() == "Fetching", "half a result is none"
    assert not (job / "output.jsonl").exists()
    cloud.front.clear()
    assert job.wait_end(60) == "Completed"
    check_complete(job, DATA)


def big_records():
    return records(300, text="the text of {id} " + "x" * 60000)


def test_an_upload_in_parts_that_breaks(new_bedrock, cloud):
    """18 MB: in parts; Complete lies once, a part is refused, another breaks off."""
    mount = new_bedrock().start()
    cloud.front.fault("UploadPart", "reset", 1)
    cloud.front.fault("UploadPart", "baddigest", 1)
    cloud.front.fault("CompleteMultipartUpload", "lying", 1)
    data = big_records()
    with cloud.double.setting(odd_texts=False):
        job = mount.run_job("big", data, timeout=60)
    assert job.status() == "Completed", job.read("error")
    assert len(job.lines()) == 300
    totals = cloud.front.totals()
    if "UploadPart" in totals:
        assert totals["CompleteMultipartUpload"].count >= 2
    uploads = cloud.s3.client().list_multipart_uploads(Bucket=BUCKET, Prefix=cloud.prefix)
    assert not uploads.get("Uploads"), "parts were left behind"
    cloud.only_job()


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
def test_a_clock_that_is_wrong_by_an_hour(new_bedrock, cloud, offset):
    mount = new_bedrock().start()
    cloud.double.clock_offset = offset
    run_through(mount)
    assert any(r.status == 403 for r in cloud.double.seen()), "it was the Date header that told"
    cloud.only_job()


REFUSALS = [
    ("CreateModelInvocationJob", (403, "AccessDeniedException", "User: arn:aws:iam::1:user/u is "
     "not authorized to perform: iam:PassRole on resource: r"), "PassRole"),
    ("CreateModelInvocationJob", (400, "ValidationException", "Your account is not authorized to "
     "perform this action. Please create a support case"), "support"),
    ("CreateModelInvocationJob", (403, "AccessDeniedException", "Model use case details have not "
     "been submitted for this account."), "use case"),
]


@pytest.mark.parametrize("operation, error, word", REFUSALS)
def test_a_refused_create_makes_the_job_invalid_and_says_the_cure(new_bedrock, cloud, operation,
                                                                  error, word):
    mount = new_bedrock().start()
    cloud.double.fault(operation, "error", -1, value=error)
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    job.wait_state("Invalid")
    said = job.read("error")
    assert error[2][:40] in said and word in said
    assert len(said) > len(error[2]) + 20, "the service's words, and what to do"
    assert cloud.double.jobs() == []


@pytest.mark.parametrize("model, word", [
    ("anthropic.claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6"),
    ("us.anthropic.claude-sonnet-5", "not supported"), ("us.anthropic.no-such-model-v1:0", "model")])
def test_a_model_that_is_refused_is_mended_and_the_job_goes(new_bedrock, cloud, model, word):
    mount = new_bedrock().start()
    job = mount.job("one")
    job.fill(DATA, None)
    done = sh(f"echo {model} > {job}/model")
    if done.returncode == 0:
        job.wait_state("Invalid")
    assert word in job.read("error") + done.stderr, job.read("error")
    assert cloud.double.jobs() == []
    sh(f"echo {CLAUDE} > {job}/model", check=0)
    assert job.wait_end() == "Completed", job.read("error")
    check_complete(job, DATA)
    cloud.only_job()


def test_a_role_that_is_wrong_is_mended_in_config(new_bedrock, cloud):
    mount = new_bedrock({"role": "arn:aws:iam::999999999999:role/Strange"}).start()
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    job.wait_state("Invalid")
    assert "account" in job.read("error")
    (job / "config").write_text("role = arn:aws:iam::111122223333:role/BatchRole\n")
    assert job.wait_end() == "Completed", job.read("error")
    cloud.only_job()


MESSAGES = [
    ("Batch job ARN contains less records (12) than the required minimum of: 100", "100"),
    ("Could not validate ListBucket permissions for S3URI s3://b/k", "s3:ListBucket"),
    ("Could not validate GetObject permissions to access Amazon S3 bucket: b at key k",
     "s3:GetObject"),
    ("Customer doesn't have permissions to invokeModel", "bedrock:InvokeModel"),
]


@pytest.mark.parametrize("message, cure", MESSAGES)
def test_a_failed_job_has_the_services_words_and_the_cure(new_bedrock, cloud, message, cure):
    mount = new_bedrock().start()
    with cloud.double.setting(fail_message=message):
        job = mount.run_job("one", DATA)
    assert job.status() == "Failed"
    assert message[:60] in job.read("error") and cure in job.read("error")
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, DATA)


def test_s3_that_denies_is_told(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.front.fault("PutObject", "denied", -1)
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    job.wait_state("Invalid")
    assert "s3:PutObject" in job.read("error")
    assert cloud.double.jobs() == []
    cloud.front.clear()
    (job / "model").write_text(CLAUDE + "\n")
    assert job.wait_end() == "Completed"
    cloud.only_job()


def test_results_that_may_not_be_read_can_be_given_up(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.front.fault("GetObject", "denied", -1, key=".jsonl.out")
    job = mount.job("one")
    with cloud.double.setting(durations={"InProgress": 20, "Stopping": 0.1}):
        job.fill(DATA, CLAUDE)
        job.wait_state("InProgress")
    job.ctl("stop")
    until(lambda: "echo stop > ctl" in job.read("error"), 20, "the way out is not told")
    assert "Access Denied" in job.read("error")
    sh("sleep 2")
    assert job.status() == "Fetching", "that stop was of the run, and gives up nothing"
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    assert len(job.lines("retry.jsonl")) == len(DATA)
    cloud.front.clear()
    job.ctl("retry")
    assert sh(f"cat {job}/wait", check=0).stdout == "Completed\n"
    check_complete(job, DATA)


def test_no_network_at_all_queues_and_goes_on(new_bedrock, cloud):
    mount = new_bedrock()
    good = dict(mount.variables)
    for name in ("AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        mount.variables[name] = "http://127.0.0.1:9"
    mount.start()
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    until(lambda: job.status() not in ("Draft", "Settling"), 10)
    sh("sleep 1")
    assert job.status() not in ("Invalid", "Failed"), job.read("error")
    mount.stop()
    mount.variables = good
    mount.start()
    assert job.wait_end(40) == "Completed"
    check_complete(job, DATA)
    cloud.only_job()


def test_a_service_that_stays_away_is_told_of_once_and_asked_ever_less(new_bedrock, cloud):
    mount = new_bedrock().start()
    cloud.double.fault("CreateModelInvocationJob", "503", -1)
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    until(lambda: "cannot go on" in job.read("log"), 20)
    sh("sleep 8")
    assert job.read("log").count("cannot go on") == 1, job.read("log")
    cloud.double.clear_faults()
    assert job.wait_end(60) == "Completed"
    cloud.only_job()


@pytest.mark.parametrize("key, value, words, cure", [
    ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch", "check the secret key"),
    ("AWS_ACCESS_KEY_ID", "AKIAXXXXXXXXXXXXXXXX", "InvalidAccessKeyId", "check -o profile="),
    ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", "refuses connections", "check the network")])
def test_what_keeps_an_upload_is_told_with_its_cure(new_bedrock, key, value, words, cure):
    mount = new_bedrock()
    mount.variables = {**mount.variables, key: value}
    mount.start()
    job = mount.job("one")
    job.fill(DATA, CLAUDE)
    until(lambda: words in job.read("error"), 20, "nothing is said")
    assert cure in job.read("error")
    assert cure in json.loads(job.read("status.json"))["error"]
    job.ctl("stop")
    assert job.wait_end() == "Stopped"


def test_one_list_serves_all_jobs(new_bedrock, cloud):
    mount = new_bedrock({"poll": "0.5"}).start()
    with cloud.double.setting(durations={"InProgress": 6.0}):
        jobs = [mount.job(f"job-{i}") for i in range(3)]
        for job in jobs:
            job.fill(DATA, CLAUDE)
        for job in jobs:
            job.wait_state("InProgress", timeout=30)
        with cloud.double.lock:
            cloud.double.requests.clear()
        sh("sleep 2")
        polls = cloud.double.seen("ListModelInvocationJobs")
        gets = cloud.double.seen("GetModelInvocationJob")
    assert 1 <= len(polls) <= 8 and len(gets) == 0, (len(polls), len(gets))
    assert json.loads(jobs[0].read("status.json"))["records"]["total"] == len(DATA)
