"""docs/semantics.md, "Jobs in parts": no record is lost and none comes twice, whatever happens.

Eleven parts, three at once, two records of a hundred fail, one part expires, one is not valid,
and the daemon dies five times; then a retry.  A hundred records a part, or with --long a
hundred thousand.
"""

import json
import re
import time

import pytest

from answers import answer_text
from bedrockkit import CLAUDE, KillAt, check_complete
from mountkit import until
from partskit import ID, MANY, check_books, many, parts_of, sent

CREATE = "^POST /model-invocation-job$"
# when it dies: at the n-th such request, before or after the server has acted on it
DEATHS = [("an upload", 5, "before", "^(PUT|POST) .*jsonl"),
          ("a create", 2, "after", CREATE),
          ("the queue", 2, "before", CREATE),
          ("a poll", 6, "after", "^GET /model-invocation-jobs"),
          ("a fetch", 4, "before", r"^GET .*\.jsonl\.out")]


def die(mount, killer, timeout):
    """Waits for it, and starts another daemon in its place."""
    assert killer.done.wait(timeout), f"{killer.seen} of {killer.n} requests came"
    killer.off()
    mount.clear()
    mount.start()


def write_input(job, lines):
    with open(job / "input.jsonl", "wb") as f:
        f.writelines(lines)


def check_results(job, count):
    """Every record has its answer, once, in the order of the input."""
    wanted = many(count)
    with open(job / "output.jsonl", "rb") as f:
        found = 0
        for number, line in enumerate(f):
            asked, row = next(wanted), json.loads(line)
            assert row["recordId"] == ID.search(asked)[1].decode(), f"line {number + 1}"
            text = row["modelOutput"]["content"][0]["text"]
            assert text == answer_text(f"the text of {number}"), f"line {number + 1}"
            found += 1
    assert found == count
    assert (job / "errors.jsonl").stat().st_size == 0 == (job / "retry.jsonl").stat().st_size


def first_attempt(mount, cloud, count, limit, timeout):
    cloud.double.plane.fates = {"4": {"end": "Expired"},
                                "7": {"fail_message": "Input file has a malformed JSON record"}}
    job = mount.job("million")
    write_input(job, many(count))
    killer = KillAt(mount, *DEATHS[0][1:])
    (job / "model").write_text(CLAUDE + "\n")
    for death in DEATHS[1:]:
        die(mount, killer, timeout)
        killer = KillAt(mount, *death[1:])
    die(mount, killer, timeout)
    assert job.wait_end(timeout) == "PartiallyCompleted", job.read("error")
    assert re.search("^part [0-9]+: .*malformed", job.read("error"), re.M), job.read("error")
    missing = [line for line in open(job / "errors.jsonl", "rb") if b'"Missing"' in line]
    assert len(missing) == 2 * limit
    assert all(b"its part of the job ended" in line for line in missing)  # in several ways
    status = json.loads(job.read("status.json"))["records"]
    given = sent(cloud)
    assert [len(ids) for ids in given] == [limit] * 10 + [count - 10 * limit]
    assert sum(given, []) == [ID.search(line)[1].decode() for line in many(count)]
    run = count - 2 * limit
    assert 0 < status["failed"] < run // 20
    assert status == {"total": count, "good": run - status["failed"],
                      "failed": status["failed"], "remaining": 2 * limit}
    states = [p["state"] for p in parts_of(job)]
    assert len(states) == 11 and states.count("Expired") == 1 and states.count("Failed") == 1
    check_books(job, cloud)
    return job


def retry(job, mount, cloud, limit, timeout):
    """Runs what has no good result, and only that, and dies once more meanwhile."""
    lacking = [ID.search(line)[1].decode() for line in job.lines("retry.jsonl")]
    cloud.knobs.error_rate = 0
    killer = KillAt(mount, 1, "after", CREATE)
    job.ctl("retry")
    die(mount, killer, timeout)
    assert job.wait_end(timeout) == "Completed", job.read("error")
    given = sent(cloud)[11:]
    assert sum(given, []) == lacking
    assert len(given) == -(-len(lacking) // limit) and min(map(len, given)) >= limit // 5
    assert len(parts_of(job, 2)) == len(given)
    check_books(job, cloud)


def run(new_bedrock, cloud, limit, timeout):
    count = limit * 21 // 2
    cloud.knobs.min_records, cloud.knobs.max_records_job = limit // 5, limit
    cloud.knobs.max_jobs, cloud.knobs.error_rate = 3, 0.02
    mount = new_bedrock(MANY).start()
    started = time.monotonic()
    job = first_attempt(mount, cloud, count, limit, timeout)
    retry(job, mount, cloud, limit, timeout)
    print(f"{count} records in {time.monotonic() - started:.1f} s")
    check_results(job, count)
    return mount, job, count


@pytest.mark.short
def test_1050_records_come_exactly_once_over_deaths_and_a_retry(new_bedrock, cloud):
    _, job, count = run(new_bedrock, cloud, 100, 30)
    check_complete(job, list(many(count)))


@pytest.mark.slow
@pytest.mark.limit(3600)
def test_1050000_records_come_exactly_once_over_deaths_and_a_retry(new_bedrock, cloud):
    mount, job, count = run(new_bedrock, cloud, 100_000, 900)
    assert mount.proc_status("RssAnon") < 192 * 1024
    until(lambda: (job / "results.csv").exists(), 5)
    with open(job / "results.csv", "rb") as f:
        assert sum(1 for _ in f) >= count + 1


@pytest.mark.slow
@pytest.mark.limit(900)
@pytest.mark.parametrize("side", ["before", "after"])
def test_kill_9_at_every_request_of_three_parts(new_bedrock, cloud, side):
    cloud.knobs.min_records, cloud.knobs.max_records_job, cloud.knobs.max_jobs = 2, 4, 2
    mount = new_bedrock(MANY).start()
    data = list(many(10))
    for n in range(1, 200):
        killer = KillAt(mount, n, side)
        job = mount.job(f"k{side}{n:03d}")
        job.fill(data, CLAUDE)
        until(lambda: killer.done.is_set() or ended(mount, job), 30, "neither killed nor ended")
        killer.off()
        if killer.done.is_set():
            mount.clear()
            mount.start()
        assert job.wait_end(30) == "Completed", (killer.at, job.read("error"))
        check_complete(job, data)
        assert len(cloud.double.jobs(job.name)) == 3, killer.at
        if not killer.done.is_set():
            break
    assert n > 20


def ended(mount, job):
    try:
        return mount.alive() and job.status() == "Completed"
    except OSError:  # it was killed just now
        return False
