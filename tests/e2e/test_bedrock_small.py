"""docs/semantics.md, "Small jobs": fewer records than the service takes as a job."""

import csv
import errno
import json
import os

import pytest

from bedrockkit import BUCKET, CLAUDE, NOVA, check_complete, prompts, with_media
from inputs import ids_of, record, records
from mountkit import sh, until

# of CLAUDE in the table of the program, in USD per 1e6 tokens at the on-demand price
IN, OUT = 3.3, 16.5
MIN = {"min_records": "10"}


def status_json(job):
    return json.loads(job.read("status.json"))


def cost_line(job, name):
    found = [row for row in job.read("cost").splitlines() if row.split()[:1] == [name]]
    return found[0] if found else None


def sent(cloud, name=""):
    """The input of the one job that the service was given, as it is in S3."""
    key, = [k for k in cloud.keys() if k.endswith("/input.jsonl") and name in k]
    body = cloud.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return [json.loads(item) for item in body.splitlines()]


def refused(job, word, number=errno.EINVAL):
    with pytest.raises(OSError) as caught:
        job.ctl(word)
    assert caught.value.errno == number


def bought(cloud):
    return cloud.double.runtime.summary()["bought"]


@pytest.fixture
def small(new_bedrock, cloud):
    """A mount of a service that takes no job under ten records."""
    cloud.knobs.min_records = 10

    def make(options=None, **named):
        return new_bedrock({**MIN, **(options or {})}, **named).start()

    return make


# --- refuse ---


@pytest.mark.parametrize("options", [{}, {"small": "refuse"}], ids=["default", "refuse"])
def test_too_few_records_are_refused_with_both_ways_out(small, cloud, options):
    mount = small(options)
    job = mount.job("one")
    job.fill(records(4), CLAUDE)
    job.wait_state("Invalid")
    error = job.read("error")
    assert "4 records, and this source takes no job under 10" in error
    assert "small = ondemand" in error and "on-demand price" in error
    assert "small = pad" in error and "6 copies" in error
    assert job.read("wait") == "Invalid\n"
    assert cloud.double.jobs() == [] == cloud.keys() and bought(cloud) == 0
    (job / "config").write_text("small = ondemand\n")
    assert job.wait_end() == "Completed"


def test_more_records_are_a_way_out_too(small, cloud):
    job = small().job("one")
    job.fill(records(4), CLAUDE)
    job.wait_state("Invalid")
    (job / "input.jsonl").write_bytes(b"".join(records(10)))
    assert job.wait_end() == "Completed"
    assert len(sent(cloud)) == 10


@pytest.mark.short
@pytest.mark.parametrize("words", ["small = none", "small =", "small = pad ondemand",
                                   "retry_max = -1", "retry_max = 21", "retry_max = x",
                                   "dedupe = maybe", "dedupe ="])
def test_values_that_they_do_not_take_are_refused(small, words):
    job = small().job("one")
    with pytest.raises(OSError) as caught:
        (job / "config").write_text(words + "\n")
    assert caught.value.errno == errno.EINVAL
    until(lambda: words.split()[0] in job.read("error"), 10, "error does not say so")


def test_on_local_there_is_no_minimum(mount, name):
    for word in ("refuse", "pad", "ondemand"):
        job = mount.run(f"{name}-{word}", records(1), config=f"small = {word}\n")
        assert job.status() == "Completed" and len(job.lines()) == 1
        assert status_json(job)["attempts"][0]["how"] == "batch"


# --- pad ---


def check_padded(job, cloud, data, padding):
    check_complete(job, data)
    told = status_json(job)
    part, = told["parts"]
    lines = sent(cloud)
    assert [r["recordId"] for r in lines[:len(data)]] == ids_of(data)
    added = lines[len(data):]
    assert len(added) == padding == part["padding"] == told["padding"]["records"]
    assert {r["modelInput"]["max_tokens"] for r in added} == {1}
    assert len({r["recordId"] for r in lines}) == len(lines)
    for r in added:
        assert r["recordId"].startswith("batchfs-pad")
    assert told["records"] == {"total": len(data), "good": len(data), "failed": 0, "remaining": 0}
    assert (part["how"], told["attempts"][0]["how"]) == ("padded", "padded")
    return told


@pytest.mark.short
@pytest.mark.parametrize("options, config", [({"small": "pad"}, None), ({}, "small = pad\n")],
                         ids=["option", "config"])
def test_padding_is_sent_paid_and_seen_nowhere(small, cloud, options, config):
    from answers import answer_text, words

    data = records(3) + [record("short", "hi")]
    job = small(options).run_job("one", data, config=config)
    assert job.status() == "Completed"
    told = check_padded(job, cloud, data, 6)
    for name in ("output.jsonl", "results.csv", "errors.jsonl", "retry.jsonl", "progress"):
        assert "batchfs-pad" not in job.read(name), name
    assert not [n for d in ("output", "text") for n in os.listdir(job / d) if "batchfs-pad" in n]
    asked = prompts(data)
    tokens_in = sum(words(t) for t in asked.values())
    tokens_out = sum(words(answer_text(t)) for t in asked.values())
    # the copies are of the shortest record
    pad_in, pad_out = 6 * words("hi"), 6 * words(answer_text("hi"))
    assert told["padding"]["tokens"] == {"input": pad_in, "output": pad_out}
    assert told["tokens"] == {"input": tokens_in + pad_in, "output": tokens_out + pad_out}
    with open(job / "results.csv", encoding="utf-8", newline="") as f:
        table = list(csv.DictReader(f))
    assert sum(int(row["output_tokens"]) for row in table) == tokens_out
    assert "6 records" in cost_line(job, "padding"), job.read("cost")
    assert "padding: 6 records were added to reach the minimum of 10" in job.read("log")


def test_padding_is_in_the_estimate_and_held_by_max_cost(new_bedrock, cloud):
    mount = new_bedrock({"min_records": "1000", "small": "pad", "max_cost": "0.01"}).start()
    cloud.knobs.min_records = 1000
    job = mount.job("one")
    job.fill(records(2), CLAUDE)
    job.wait_state("Held")
    assert "max_cost is 0.01" in job.read("error")
    cost = status_json(job)["cost"]
    # two answers of at most 100 tokens, and 998 of one
    assert cost["tokens"]["output"] == 200 + 998
    assert cost["batch_usd"] == pytest.approx(
        (cost["tokens"]["input"] * IN + cost["tokens"]["output"] * OUT) / 2e6, abs=1e-6)
    assert cost["tokens"]["input"] >= 998 * 4


def test_ids_that_look_like_padding_are_the_users(small, cloud):
    data = records(3) + [record("batchfs-pad-000001"), record("batchfs-pad")]
    job = small({"small": "pad"}).run_job("one", data)
    check_padded(job, cloud, data, 5)


def test_enough_records_are_not_padded(small, cloud):
    job = small({"small": "pad"}).run_job("one", records(10))
    assert job.status() == "Completed" and len(sent(cloud)) == 10
    assert status_json(job)["attempts"][0]["how"] == "batch"
    assert cost_line(job, "padding") is None


def test_counts_while_it_runs_are_without_padding(small, cloud):
    mount = small({"small": "pad"})
    with cloud.double.setting(durations={"InProgress": 2.0}):
        job = mount.job("one")
        job.fill(records(4), CLAUDE)
        job.wait_state("InProgress")
        while job.status() == "InProgress":
            counts = status_json(job)["records"]
            assert counts["total"] == 4 and counts["good"] <= 4
    assert job.wait_end() == "Completed"


def test_padding_survives_the_loss_of_cache_and_daemon(small, cloud):
    mount = small({"small": "pad"})
    job = mount.run_job("one", records(4))
    told = status_json(job)
    mount.kill()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    job.wait_end()
    check_complete(job, records(4))
    after = status_json(job)
    assert after["padding"] == told["padding"] and after["tokens"] == told["tokens"]
    assert len(cloud.double.jobs()) == 1


def test_each_of_the_users_records_that_failed_is_told_and_no_other(small, cloud):
    mount = small({"small": "pad"})
    data = records(3) + [record("x", "[[error:400:no]]")]
    job = mount.run_job("one", data)
    assert job.status() == "CompletedWithErrors"
    assert status_json(job)["records"] == {"total": 4, "good": 3, "failed": 1, "remaining": 0}
    assert ids_of(job.lines("retry.jsonl")) == ["x"]


# --- on demand ---


def check_demand(job, cloud, data):
    check_complete(job, data)
    told = status_json(job)
    assert cloud.double.jobs() == [] == cloud.keys()
    assert cloud.double.runtime.most_bought() == 1 and bought(cloud) == len(data)
    assert told["attempts"][0]["how"] == "ondemand" == told["parts"][0]["how"]
    return told


@pytest.mark.parametrize("options, config", [({"small": "ondemand"}, None),
                                             ({}, "small = ondemand\n")],
                         ids=["option", "config"])
def test_on_demand_there_is_no_job_and_the_price_is_twice(small, cloud, options, config):
    data = records(9)
    job = small(options).run_job("one", data, config=config)
    assert job.status() == "Completed"
    told = check_demand(job, cloud, data)
    tokens, cost = told["tokens"], told["cost"]
    usd = (tokens["input"] * IN + tokens["output"] * OUT) / 1e6
    assert cost["total_usd"] == pytest.approx(usd, rel=1e-3)
    assert cost["on_demand_usd"] == pytest.approx(usd, rel=1e-3)
    assert cost_line(job, "on_demand"), job.read("cost")
    assert "on demand: 9 records are run one by one, at the on-demand price" in job.read("log")
    assert cloud.double.seen("InvokeModel") and not cloud.double.seen("CreateModelInvocationJob")


def test_on_demand_answers_what_a_batch_job_answers(small, cloud):
    mount = small()
    data = records(12) + [record(None, "no id")]
    batch = mount.run_job("batch", data)
    cloud.knobs.min_records = 100
    mount.stop()
    mount.options["min_records"] = "100"
    mount.start()
    now = mount.run_job("now", data, config="small = ondemand\n")
    assert (batch.status(), now.status()) == ("Completed", "Completed")
    assert [json.loads(item) for item in now.lines()] == \
        [json.loads(item) for item in batch.lines()]
    assert now.read("results.csv") == batch.read("results.csv")


def test_on_demand_by_converse(small, cloud):
    from answers import answer_text
    from inputs import line

    data = [line({"recordId": f"r{i}", "modelInput": {
        "messages": [{"role": "user", "content": [{"text": f"q {i}"}]}],
        "inferenceConfig": {"maxTokens": 50}}}) for i in range(4)]
    job = small().run_job("one", data, config="small = ondemand\ninvocation = Converse\n")
    assert job.status() == "Completed"
    assert [job.read(f"text/r{i}.txt") for i in range(4)] == \
        [answer_text(f"q {i}") + "\n" for i in range(4)]
    assert not cloud.double.seen("InvokeModel")


def test_on_demand_needs_no_role(small, cloud):
    mount = small({"small": "ondemand", "role": None})
    job = mount.run_job("one", records(4))
    assert job.status() == "Completed", job.read("error")


def test_on_demand_each_record_has_its_own_end(small, cloud):
    data = records(4) + [record("bad", "[[error:400:messages were odd]]")] + records(2, "z-")
    job = small({"small": "ondemand"}).run_job("one", data)
    assert job.status() == "CompletedWithErrors"
    assert ids_of(job.lines()) == ids_of(data)
    error, = [json.loads(item) for item in job.lines("errors.jsonl")]
    assert error["recordId"] == "bad" and "messages were odd" in json.dumps(error)
    assert status_json(job)["records"] == {"total": 7, "good": 6, "failed": 1, "remaining": 0}
    assert bought(cloud) == 6


@pytest.mark.limit(120)
def test_a_storm_of_throttling_passes(small, cloud):
    mount = small({"small": "ondemand"})
    data = records(9)
    with cloud.double.setting(runtime_throttle_rate=0.3):
        job = mount.run_job("one", data, timeout=90)
    assert job.status() == "Completed"
    check_demand(job, cloud, data)


@pytest.mark.short
@pytest.mark.limit(120)
def test_kill_9_in_the_middle_buys_nothing_twice(small, cloud):
    cloud.knobs.min_records = 1000
    mount = small({"small": "ondemand", "min_records": "1000"})
    runtime = cloud.double.runtime
    data = records(200)
    job = mount.job("one")
    with cloud.double.setting(runtime_latency=0.1):
        job.fill(data, CLAUDE)
        for share in (40, 100, 150):
            until(lambda n=share: bought(cloud) >= n, 30, "it does not go on")
            mount.kill()
            until(lambda: runtime.at_once == 0)
            mount.start()
        assert job.wait_end() == "Completed"
    check_complete(job, data)
    # what was on its way when it died is asked for again: at most 16 each time
    assert bought(cloud) <= len(data) + 3 * 16
    assert cloud.double.jobs() == []


def test_a_remount_in_the_middle_goes_on(small, cloud):
    cloud.knobs.min_records = 100
    mount = small({"small": "ondemand", "min_records": "100"})
    data = records(60)
    job = mount.job("one")
    with cloud.double.setting(runtime_latency=0.2):
        job.fill(data, CLAUDE)
        until(lambda: bought(cloud) >= 16)
        assert job.status() == "InProgress"
        mount.restart()
        assert job.wait_end() == "Completed"
    check_complete(job, data)
    assert bought(cloud) <= len(data) + 16, "only what was on its way is asked for again"


def test_progress_of_what_runs_on_demand(small, cloud):
    cloud.knobs.min_records = 100
    mount = small({"small": "ondemand", "min_records": "100"})
    job = mount.job("one")
    with cloud.double.setting(runtime_latency=0.4):
        job.fill(records(64), CLAUDE)
        until(lambda: 0 < status_json(job)["records"]["good"] < 64, 20, "no counts")
        assert "/64 records" in job.read("progress")
        assert "stop" in job.read("ctl").split("\n")
        assert job.wait_end() == "Completed"


def test_stop_keeps_what_finished_and_retry_runs_the_rest(small, cloud):
    cloud.knobs.min_records = 100
    mount = small({"small": "ondemand", "min_records": "100"})
    data = records(90)
    job = mount.job("one")
    with cloud.double.setting(runtime_latency=0.3):
        job.fill(data, CLAUDE)
        until(lambda: bought(cloud) >= 10)
        job.ctl("stop")
        assert job.wait_end() == "Stopped"
    good = status_json(job)["records"]["good"]
    assert 10 <= good < 90 and good == bought(cloud) == len(job.lines())
    before = dict(zip(ids_of(job.lines()), job.lines()))
    job.ctl("retry")
    assert job.wait_end() == "Completed"
    check_demand(job, cloud, data)
    after = dict(zip(ids_of(job.lines()), job.lines()))
    assert all(after[i] == before[i] for i in before), "a good result never changes"


def test_what_is_not_allowed_is_invalid_with_the_cure(small, cloud):
    job = small({"small": "ondemand"}).job("one")
    with cloud.double.setting(runtime_denied=True):
        job.fill(records(4), CLAUDE)
        job.wait_state("Invalid")
    error = job.read("error")
    assert "not authorized" in error and "bedrock:InvokeModel" in error
    assert bought(cloud) == 0
    job.ctl("submit")
    assert job.wait_end() == "Completed"


@pytest.mark.limit(120)
def test_expired_credentials_are_waited_for(small, cloud):
    cloud.knobs.min_records = 100
    mount = small({"small": "ondemand", "min_records": "100"})
    job = mount.job("one")
    data = records(60)
    with cloud.double.setting(runtime_latency=0.1):
        job.fill(data, CLAUDE)
        until(lambda: bought(cloud) >= 16)
        expired = cloud.double.fault("InvokeModel", "expired", count=-1)
        until(lambda: "xpired" in job.read("status.json") or "xpired" in job.read("log"), 30,
              "nothing is told of them")
        assert job.status() == "InProgress"
        expired.count = 0
        assert job.wait_end(80) == "Completed"
    check_demand(job, cloud, data)


def test_a_full_disk_is_waited_for_and_loses_nothing(small, cloud, base):
    disk = base / "disk"
    disk.mkdir()
    if sh(f"mount -t tmpfs -o size=24m tmpfs {disk}").returncode != 0:
        pytest.skip("tmpfs can not be mounted here")
    try:
        cloud.knobs.min_records = 100
        mount = small({"small": "ondemand", "min_records": "100"})
        mount.stop()
        mount.state, mount.cache = disk / "state", disk / "cache"
        mount.start()
        data = records(60, text="x" * 20_000 + " {id}")
        job = mount.job("one")
        with cloud.double.setting(runtime_latency=0.2):
            job.fill(data, CLAUDE)
            until(lambda: bought(cloud) >= 16)
            sh(f"head -c 50m /dev/zero > {disk}/filler")
            sh("sleep 2")
            assert mount.alive() and job.status() == "InProgress"
            assert bought(cloud) < len(data), "it does not buy what it can not keep"
            os.unlink(disk / "filler")
            assert job.wait_end(40) == "Completed"
        check_demand(job, cloud, data)
        mount.stop()
    finally:
        sh(f"umount -l {disk}", check=0)


def test_config_is_sealed_while_it_runs_and_commands_say_so(small, cloud):
    cloud.knobs.min_records = 100
    mount = small({"small": "ondemand", "min_records": "100"})
    job = mount.job("one")
    with cloud.double.setting(runtime_latency=0.3):
        job.fill(records(64), CLAUDE)
        job.wait_state("InProgress")
        with pytest.raises(OSError) as caught:
            (job / "config").write_text("small = pad\n")
        assert caught.value.errno == errno.EBUSY
        for word in ("retry", "retry pad", "retry ondemand", "submit", "purge"):
            refused(job, word, errno.EBUSY)
        assert sh(f"rm -r {job}").returncode != 0
        assert job.wait_end() == "Completed"
    check_complete(job, records(64))


def test_media_can_not_go_by_itself(small, cloud):
    job = small({"small": "ondemand"}).job("one")
    (job / "media").mkdir()
    (job / "media" / "a.png").write_bytes(b"one")
    job.fill(with_media(4, "a.png"), NOVA)
    job.wait_state("Invalid")
    assert "media://" in job.read("error") and "base64" in job.read("error")
    assert bought(cloud) == 0


def test_what_is_removed_leaves_nothing_behind(small, cloud):
    mount = small({"small": "ondemand"})
    job = mount.run_job("one", records(4))
    sh(f"rm -r {job}", check=0)
    until(lambda: not os.listdir(mount.state / "jobs"), 10, "its files stay")


def test_after_the_cache_is_deleted_nothing_is_bought_again(small, cloud):
    mount = small({"small": "ondemand"})
    data = records(9)
    job = mount.run_job("one", data)
    lines = job.lines()
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    assert job.wait_end() == "Completed" and job.lines() == lines
    check_demand(job, cloud, data)


def test_purge_of_what_ran_on_demand_asks_nobody_and_loses_nothing(small, cloud):
    mount = small({"small": "ondemand"})
    data = records(9)
    job = mount.run_job("one", data)
    before = len(cloud.front.log)
    job.ctl("purge")
    until(lambda: "purge" not in job.read("ctl").split("\n"), 10, "it was not purged")
    assert len(cloud.front.log) == before
    mount.stop()
    sh(f"rm -rf {mount.cache}", check=0)
    mount.start()
    assert job.wait_end() == "Completed"
    check_demand(job, cloud, data)


# --- retry under the minimum ---

FATED = [record("a", "[[error:400:no]]"), record("b", "[[error:400:never]]")]


def with_failures(mount, config=None):
    job = mount.run_job("one", records(10) + FATED, config=config)
    assert job.status() == "CompletedWithErrors"
    return job


def test_a_retry_of_too_few_is_refused_with_both_ways_out(small, cloud):
    job = with_failures(small())
    assert "retry" not in job.read("ctl").split("\n")
    assert {"retry pad", "retry ondemand"} <= set(job.read("ctl").split("\n"))
    refused(job, "retry")
    log = job.read("log")
    assert "2 records have no good result, and this source takes no job under 10" in log
    assert "`retry pad`" in log and "`retry ondemand`" in log
    assert job.status() == "CompletedWithErrors" and len(cloud.double.jobs()) == 1


def test_retry_pad(small, cloud):
    job = with_failures(small())
    with cloud.double.setting(error_rate=0):
        job.ctl("retry pad")
        assert job.read("wait") == "CompletedWithErrors\n"
    told = status_json(job)
    assert [a["how"] for a in told["attempts"]] == ["batch", "padded"]
    assert told["attempts"][1]["records"] == 2, "its padding is nobody's record"
    assert told["parts"][1]["padding"] == told["padding"]["records"] == 8
    assert told["records"] == {"total": 12, "good": 10, "failed": 2, "remaining": 0}
    assert len(cloud.double.jobs()) == 2


def test_retry_ondemand(small, cloud):
    job = with_failures(small())
    with cloud.double.setting(runtime_fates=False):
        job.ctl("retry ondemand")
        assert job.read("wait") == "Completed\n"
    check_complete(job, records(10) + FATED)
    told = status_json(job)
    assert [a["how"] for a in told["attempts"]] == ["batch", "ondemand"]
    assert bought(cloud) == 2 and len(cloud.double.jobs()) == 1
    cost = told["cost"]
    assert cost["batch_usd"] < cost["total_usd"] < cost["on_demand_usd"]


@pytest.mark.parametrize("word, how", [("pad", "padded"), ("ondemand", "ondemand")])
def test_a_plain_retry_of_too_few_does_what_small_says(small, cloud, word, how):
    job = with_failures(small(), f"small = {word}\n")
    assert "retry" in job.read("ctl").split("\n")
    job.ctl("retry")
    job.wait_end()
    assert [a["how"] for a in status_json(job)["attempts"]] == ["batch", how]
