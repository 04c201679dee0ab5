"""What the account may: read from Service Quotas, told before a job is sent, and refused after."""

import pytest

from bedrockkit import CLAUDE, NOVA
from inputs import records
from mountkit import until

NO_LIMITS = {"min_records": None}  # the tests' own, which goes before the account's


@pytest.mark.parametrize("spelling", ["plain", "dot", "unit last", "maker"])
def test_the_accounts_minimum_is_told_in_the_words_of_invalid(new_bedrock, cloud, spelling):
    cloud.knobs.min_records = 20
    cloud.double.quota_spellings = (spelling,)
    cloud.double.friends.quota_page = 40
    mount = new_bedrock(NO_LIMITS).start()
    job = mount.job("few")
    job.fill(records(10), CLAUDE)
    job.wait_state("Invalid")
    assert "10 records" in job.read("error") and "no job under 20" in job.read("error")
    assert cloud.double.jobs() == [] and cloud.keys() == []
    (job / "input.jsonl").write_bytes(b"".join(records(20)))
    assert job.wait_end() == "Completed"


def test_who_may_not_read_quotas_has_the_documented_ones(new_bedrock, cloud):
    cloud.double.friends.quotas_denied = True
    mount = new_bedrock(NO_LIMITS).start()
    job = mount.job("few")
    job.fill(records(10), CLAUDE)
    job.wait_state("Invalid")
    assert "no job under 100" in job.read("error")
    mount.job("other").fill(records(10), CLAUDE)
    mount.job_at("other").wait_state("Invalid")
    assert mount.said().count("ListServiceQuotas is not allowed") == 1
    assert len(cloud.double.seen("ListServiceQuotas")) == 1


def test_an_option_goes_before_the_account(new_bedrock, cloud):
    cloud.knobs.min_records = 20
    mount = new_bedrock({"min_records": "5"}).start()
    job = mount.job("few")
    job.fill(records(10), CLAUDE)
    assert job.wait_end() == "Failed"
    assert "required minimum of: 20" in job.read("error")


def test_quotas_that_cannot_be_reached_hold_nothing_up(new_bedrock, cloud):
    cloud.double.fault("ListServiceQuotas", "500", count=-1)
    mount = new_bedrock().start()
    assert mount.run_job("one", records(5)) is not None
    assert len(cloud.double.jobs()) == 1


def test_a_full_quota_names_the_model_and_the_way_out(new_bedrock, cloud):
    mount = new_bedrock({"max_jobs": "50"}).start()
    cloud.knobs.max_jobs = 1
    with cloud.double.setting(durations={"InProgress": 2.0}):
        first, second = mount.job("first"), mount.job("second")
        first.fill(records(5), CLAUDE)
        until(lambda: cloud.double.jobs("first"), 10)
        second.fill(records(5), CLAUDE)
        until(lambda: "ServiceQuotaExceeded" in second.read("log"), 10)
        words = second.read("log")
        assert second.status() == "Queued" and second.read("error") == ""
    assert "Claude Sonnet 4.6" in words and "Service Quotas" in words
    assert "has ended" in words
    assert first.wait_end() == "Completed"
    assert second.wait_end(40) == "Completed"


def test_a_minimum_above_the_maximum_is_no_mount(new_bedrock, cloud):
    mount = new_bedrock({"min_records": "10", "max_records_per_file": "9"})
    with pytest.raises(AssertionError, match="min_records=10 is more than max_records_per_file=9"):
        mount.start()


def test_the_check_shows_all_of_them(new_bedrock, cloud):
    cloud.knobs.max_jobs_of = {NOVA: 7}
    cloud.knobs.max_records_file, cloud.knobs.max_file_bytes = 5000, 200_000_000
    done = new_bedrock({"model": NOVA}).once("--check")
    line = next(row for row in done.stdout.splitlines() if " quotas: " in row)
    for words in ("at least 3 records a job", "at most 100000 records a job",
                  "at most 5000 records a file", "at most 200 MB a file", "at most 5 GB a job",
                  "7 jobs at once", "for Nova Micro"):
        assert words in line, line
