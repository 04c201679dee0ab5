"""Jobs of many parts: their input, and the books on what was created for them."""

import json
import re

from bedrockkit import BUCKET, CLAUDE
from inputs import record
from mountkit import until

ID = re.compile(rb'"recordId": ?"([^"]*)"')
# One create after the other, no pause between: the pace has tests of its own.
MANY = {"create_every": "0", "jobs": "mine", "min_records": None, "settle_input": "0.05"}


def many(count, text="the text of {id}"):
    """Records whose ids are in no order that anything would sort them into."""
    return (record(f"q{i * 7919 % 10**7}-{i}", text.format(id=i)) for i in range(count))


def ids_in(data):
    return [found.decode() for found in ID.findall(data)]


def parts_of(job, attempt=None):
    rows = json.loads(job.read("status.json"))["parts"]
    return [p for p in rows if attempt in (None, p["attempt"])]


def input_of(cloud, made):
    """The bytes a job of the service was given."""
    uri = made.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    key = uri.partition(f"s3://{BUCKET}/")[2]
    if not key.endswith(".jsonl"):
        key, = [k for k in cloud.keys() if k.startswith(key) and k.endswith(".jsonl")]
    return cloud.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()


def sent(cloud, name=""):
    """The ids that each job of the service was given, in the order of their creation."""
    return [ids_in(input_of(cloud, made)) for made in cloud.double.jobs(name)]


def sizes(cloud, name=""):
    return [len(ids) for ids in sent(cloud, name)]


def check_books(job, cloud):
    """Every job of the service is a part that status.json tells of, and the other way round."""
    made = {j.body["clientRequestToken"]: j.arn for j in cloud.double.jobs()}
    told = {p["token"]: p["provider_id"] for p in parts_of(job) if p["provider_id"]}
    assert told == made
    assert len({j.name for j in cloud.double.jobs()}) == len(made)
    for p in parts_of(job):
        assert p["provider_id"] or p["state"] in ("Stopped", "Failed", "Queued"), p


def live(cloud):
    return sum(j.live for j in cloud.double.jobs())


def queued_job(mount, cloud, name, count, slots=1, **knobs):
    """A job of many parts in the middle of it: slots run, the others wait."""
    cloud.knobs.max_jobs = slots
    cloud.knobs.durations["InProgress"] = knobs.pop("seconds", 30)
    job = mount.job(name)
    job.fill(b"".join(many(count)), CLAUDE)
    until(lambda: live(cloud) == slots, 20, "not that many run")
    return job
