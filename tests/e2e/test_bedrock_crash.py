"""docs/semantics.md, "Restart and crash", over bedrock: kill -9 between every two steps."""

import random
import time

import pytest

from bedrockkit import CLAUDE, NOVA, KillAt, check_complete, with_media
from inputs import records
from mountkit import until

DATA = records(5)
STEPS = 40  # more requests than a job needs; the loop ends at the last one

QUICK = {"poll": "0.1", "settle": "0.05", "settle_input": "0.05", "jobs": "mine",
         "create_grace": "1"}


MEDIA = with_media(4, "a.png", "b.png")


def die_and_rise(mount, killer, cloud, name, media):
    """One job, killed at one request; true if that request came at all."""
    job = mount.job(name)
    data, model = (MEDIA, NOVA) if media else (DATA, CLAUDE)
    if media:
        (job / "media").mkdir()
        (job / "media" / "a.png").write_bytes(b"one")
        (job / "media" / "b.png").write_bytes(b"two")
    job.fill(data, model)
    until(lambda: killer.done.is_set() or job_ended(mount, job), 30, "neither killed nor ended")
    killer.off()
    if killer.done.is_set():
        mount.clear()
        mount.start()
    assert job.wait_end(30) == "Completed", (killer.at, job.read("error"))
    check_complete(job, data)
    made = cloud.double.jobs(name)
    assert len(made) == 1, f"killed {killer.at}: {len(made)} jobs"
    return killer.done.is_set()


def job_ended(mount, job):
    try:
        return mount.alive() and job.status() == "Completed"
    except OSError:  # it was killed just now
        return False


@pytest.mark.limit(170)
@pytest.mark.parametrize("side", ["before", "after"])
def test_kill_9_at_every_request_makes_one_job(new_bedrock, cloud, side):
    """The n-th request for each n: just before the server acts on it, and just after."""
    mount = new_bedrock(QUICK).start()
    cloud.knobs.durations.update(Submitted=0.02, Validating=0.02, Scheduled=0.02, InProgress=0.1)
    n = 1
    while die_and_rise(mount, KillAt(mount, n, side), cloud, f"k{side}{n:02d}",
                       media=side == "after"):
        n += 1
        assert n <= STEPS, "a job takes more requests than that"
        if n > 14:  # polls, for the most part
            n += 2
    assert n > 10, "a job takes that many at least"


@pytest.mark.limit(120)
def test_kill_9_at_random_moments(new_bedrock, cloud):
    rng = random.Random()
    mount = new_bedrock(QUICK).start()
    for turn in range(6):
        job = mount.job(f"random-{turn}")
        job.fill(DATA, CLAUDE)
        for _ in range(2):
            time.sleep(rng.uniform(0, 0.9))
            mount.kill()
            mount.start()
        assert job.wait_end(30) == "Completed"
        check_complete(job, DATA)
        assert len(cloud.double.jobs(job.name)) == 1


@pytest.mark.slow
@pytest.mark.limit(1800)
def test_kill_9_at_random_moments_two_hundred_times(new_bedrock, cloud):
    rng = random.Random()
    mount = new_bedrock(QUICK).start()
    jobs = [mount.job(f"long-{i}") for i in range(8)]
    for job in jobs:
        job.fill(records(200), CLAUDE)
    for _ in range(200):
        time.sleep(rng.uniform(0, 0.5))
        mount.kill()
        mount.start()
    for job in jobs:
        assert job.wait_end(60) == "Completed"
        check_complete(job, records(200))
        assert len(cloud.double.jobs(job.name)) == 1


@pytest.mark.short
def test_a_lost_answer_and_then_kill_9(new_bedrock, cloud):
    """The create was acted on, nobody knows, and the daemon dies; the token is forgotten, too."""
    mount = new_bedrock(QUICK).start()
    with cloud.double.setting(token_memory=False):
        cloud.double.fault("CreateModelInvocationJob", "lost", -1)
        job = mount.job("one")
        job.fill(DATA, CLAUDE)
        until(lambda: cloud.double.jobs("one"), 15, "no create")
        mount.kill()
        cloud.double.clear_faults()
        mount.start()
        assert job.wait_end(30) == "Completed"
    cloud.only_job()
    check_complete(job, DATA)


def test_kill_9_in_an_upload_of_parts_goes_on_with_it(new_bedrock, cloud):
    mount = new_bedrock(QUICK).start()
    data = records(400, text="the text of {id} " + "x" * 60000)
    cloud.front.fault("UploadPart", "slow", -1, skip=1, value=0.7)
    job = mount.job("big")
    job.fill(data, CLAUDE)
    until(lambda: cloud.front.totals().get("UploadPart"), 20, "no part was sent")
    mount.kill()
    cloud.front.clear()
    mount.start()
    assert job.wait_end(60) == "Completed"
    assert len(job.lines()) == 400
    totals = cloud.front.totals()
    assert "CreateMultipartUpload" not in totals, "it began anew"
    assert totals["ListParts"].count >= 1
    uploads = cloud.s3.client().list_multipart_uploads(Bucket="batch-bucket").get("Uploads")
    assert not uploads
    cloud.only_job()
