"""Jobs of the double: their walk through the states, their input and their output in S3.

A job has a thread of its own, which sleeps on the job's condition, so that a stop or the
end of the test ends it at once.  Everything else looks at the job under its lock.
"""

import json
import random
import string
import threading
import time
from dataclasses import dataclass, field

from answers import Missing, RecordError, answer
from shapes import LIVE, split_uri

QUICK = {"Submitted": 0.05, "Validating": 0.05, "Scheduled": 0.05, "InProgress": 0.2,
         "Stopping": 0.1}
ALPHABET = string.ascii_letters + string.digits


@dataclass
class Knobs:
    """How jobs fare that are created from now on.  Times in seconds."""

    durations: dict = field(default_factory=lambda: dict(QUICK))
    end: str = "Completed"  # PartiallyCompleted, Expired, Failed (in mid-run), Stopped
    fail_message: str = None  # fails at the end of Validating with these words
    end_message: str = "Customer doesn't have permissions to invokeModel"  # of end = Failed
    done_share: float = 0.5  # of the records, where not all are run
    error_rate: float = 0.0
    error_code: object = 429
    error_message: str = "Too many requests, please wait before trying again."
    error_forms: str = "AB"  # A: beside modelOutput, B: inside it
    shuffle: bool = True
    odd_texts: bool = True
    min_records: int = 100
    max_records_file: int = 100_000
    max_records_job: int = 100_000
    max_file_bytes: int = 10**9
    max_job_bytes: int = 5 * 10**9
    max_jobs: int = 100  # of a model
    max_jobs_of: dict = field(default_factory=dict)  # model id -> another number
    counter_lag: float = 0.0
    late_output: float = 0.0  # the state is told this long before the objects are listed
    manifest: bool = True  # False: none; it is never there for jobs that never ran
    final_newline: bool = True
    nested_names: str = "base"  # or "relative": of outputs of inputs in folders
    probe_object: bool = True  # an object in the output folder that is no output


class Invalid(Exception):
    """What a job fails with in Validating."""


class Halt(Exception):
    """The double is being stopped."""


@dataclass
class Job:
    arn: str
    body: dict
    model: object  # modelfacts.Model
    model_arn: str
    region: str
    account: str
    knobs: Knobs
    sequence: int
    tags: dict = field(default_factory=dict)
    status: str = "Submitted"
    message: str = None
    submitted: float = field(default_factory=time.time)
    modified: float = 0.0
    ended: float = None
    counters: tuple = (0, 0, 0, 0)  # total, processed, success, error
    stop_asked: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)
    history: list = field(default_factory=lambda: ["Submitted"])

    @property
    def id(self):
        return self.arn.rpartition("/")[2]

    @property
    def name(self):
        return self.body["jobName"]

    @property
    def live(self):
        return self.status in LIVE

    def enter(self, status, message=None):
        with self.changed:
            self.status, self.message = status, message or self.message
            self.modified = time.time()
            self.history.append(status)
            if not self.live:
                self.ended = self.modified
            self.changed.notify_all()


def iso(when):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when % 1 * 1000):03d}Z"


def describe(job):
    """A job as Get and List show it."""
    body = job.body
    hours = body.get("timeoutDurationInHours") or 24
    source = dict(body["inputDataConfig"]["s3InputDataConfig"])
    source.pop("s3InputFormat", None)
    source.setdefault("s3BucketOwner", job.account)
    target = dict(body["outputDataConfig"]["s3OutputDataConfig"])
    target.setdefault("s3BucketOwner", job.account)
    with job.changed:
        row = {"jobArn": job.arn, "jobName": job.name, "modelId": job.model_arn,
               "clientRequestToken": body.get("clientRequestToken"), "roleArn": body["roleArn"],
               "status": job.status, "message": job.message, "submitTime": iso(job.submitted),
               "lastModifiedTime": iso(job.modified or job.submitted),
               "endTime": iso(job.ended) if job.ended else None,
               "jobExpirationTime": iso(job.submitted + hours * 3600),
               "timeoutDurationInHours": hours,
               "inputDataConfig": {"s3InputDataConfig": source},
               "outputDataConfig": {"s3OutputDataConfig": target},
               "vpcConfig": body.get("vpcConfig"),
               "modelInvocationType": body.get("modelInvocationType") or "InvokeModel"}
        names = ("totalRecordCount", "processedRecordCount", "successRecordCount",
                 "errorRecordCount")
        row.update(zip(names, job.counters))
    return {k: v for k, v in row.items() if v is not None}


class Runner:
    """Walks one job to its end.  s3_of(role): the S3 client of a role, or None."""

    def __init__(self, job, s3_of, bucket_region, halted):
        self.job, self.halted = job, halted
        self.s3_of, self.bucket_region = s3_of, bucket_region
        self.random = random.Random(job.arn)
        self.files = []  # (key, records)
        self.errors = 0

    # --- time ---

    def rest(self, state, share=1.0):
        """Waits out a state; True if a stop was asked for."""
        job = self.job
        deadline = time.monotonic() + job.knobs.durations.get(state, 0.05) * share
        with job.changed:
            while not job.stop_asked or state == "Stopping":
                if self.halted():
                    raise Halt()
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                job.changed.wait(min(left, 0.5))
            return True

    def run(self):
        try:
            self.walk()
        except Halt:
            pass
        except Invalid as e:
            self.job.enter("Failed", str(e))
        except Exception as e:  # a fault of the double: show it where the test looks
            self.job.enter("Failed", f"the double broke: {type(e).__name__}: {e}")
            raise

    def walk(self):
        job, knobs = self.job, self.job.knobs
        for state in ("Submitted", "Validating", "Scheduled"):
            if job.status != state:
                job.enter(state)
            if self.rest(state):
                return self.stop(0)
            if state == "Validating":
                self.validate()
        if knobs.end == "Expired":
            return job.enter("Expired")
        job.enter("InProgress")
        if self.rest("InProgress", knobs.counter_lag and 0.5):
            return self.stop(knobs.done_share if knobs.counter_lag else 0)
        total = sum(len(records) for _, records in self.files)
        for step in range(1, 5):
            if knobs.end in ("Stopped", "Failed", "PartiallyCompleted") and step == 3:
                break
            job.counters = (total, total * step // 5, total * step // 5, 0)
            if self.rest("InProgress", 0.25):
                return self.stop(knobs.done_share)
        self.end()

    def stop(self, share):
        self.job.enter("Stopping")
        self.rest("Stopping")
        self.end_with(share, "Stopped")

    def end(self):
        job, knobs = self.job, self.job.knobs
        if knobs.end == "Stopped":
            return self.stop(knobs.done_share)
        if knobs.end == "Failed":
            job.counters = (job.counters[0], 0, 0, 0)
            return job.enter("Failed", knobs.end_message)
        share = knobs.done_share if knobs.end == "PartiallyCompleted" else 1.0
        self.end_with(share, knobs.end)

    def end_with(self, share, state):
        late = self.job.knobs.late_output
        if late:
            self.job.enter(state)
            time.sleep(late)
        if share:
            self.write(share)
        if not late:
            self.job.enter(state)

    # --- input ---

    def validate(self):
        job, knobs = self.job, self.job.knobs
        if knobs.fail_message:
            raise Invalid(knobs.fail_message)
        self.s3 = self.s3_of(job.body["roleArn"])
        uri = job.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        bucket, key = split_uri(uri)
        region = self.bucket_region(bucket)
        if self.s3 is None or region not in (None, job.region):
            raise Invalid(f"Could not validate ListBucket permissions for S3URI {uri}")
        size = 0
        found = list(self.inputs(bucket, key, uri))
        for row in found:
            size += row["Size"]
        names = [row["Key"] for row in found if row["Key"].endswith(".jsonl")]
        if not names:
            raise Invalid(f"No jsonl files found in s3URI: {uri}")
        if size > knobs.max_job_bytes:
            raise Invalid("Batch job input exceeds the maximum job size")
        for name in names:
            self.files.append((name, self.read(bucket, name)))
        total = sum(len(records) for _, records in self.files)
        if total < knobs.min_records:
            raise Invalid(f"Batch job {job.arn} contains less records ({total}) than the "
                          f"required minimum of: {knobs.min_records}")
        if total > knobs.max_records_job:
            raise Invalid(f"Batch job {job.arn} contains more records ({total}) than the "
                          f"allowed maximum of: {knobs.max_records_job}")

    def inputs(self, bucket, key, uri):
        from botocore.exceptions import ClientError

        try:
            if key.endswith(".jsonl"):
                yield {"Key": key,
                       "Size": self.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]}
                return
            prefix = key if not key or key.endswith("/") else key + "/"
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket,
                                                                          Prefix=prefix):
                yield from page.get("Contents", ())
        except ClientError:
            if key.endswith(".jsonl"):
                raise Invalid("Could not validate GetObject permissions to access Amazon S3 "
                              f"bucket: {bucket} at key {key}.") from None
            raise Invalid(f"Could not validate ListBucket permissions for S3URI {uri}") from None

    def read(self, bucket, key):
        data = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if len(data) > self.job.knobs.max_file_bytes:
            raise Invalid(f"Input file {key} exceeds the maximum file size")
        records = []
        for number, line in enumerate(data.split(b"\n"), 1):
            if not line:
                continue
            try:
                record = json.loads(line.decode("utf-8"))
                if not isinstance(record["modelInput"], dict):
                    raise ValueError("modelInput")
                if not isinstance(record.get("recordId", ""), str):
                    raise ValueError("recordId")
            except (ValueError, KeyError, TypeError):
                raise Invalid(f"Input file {key} has a malformed JSON record at line "
                              f"{number}") from None
            records.append(record)
        if len(records) > self.job.knobs.max_records_file:
            raise Invalid(f"Input file {key} exceeds the maximum number of records")
        return records

    # --- output ---

    def media_exists(self, uri):
        """Media must lie in the folder that is the input; a file as input has none."""
        from botocore.exceptions import ClientError

        folder = self.job.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        if folder.endswith(".jsonl") or not uri.startswith(folder.rstrip("/") + "/"):
            return False
        bucket, key = split_uri(uri)
        try:
            self.s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def result(self, record):
        """(line, tokens in, tokens out, good)."""
        job, knobs = self.job, self.job.knobs
        rid = record.get("recordId") or "".join(self.random.choices(ALPHABET, k=11))
        line = {"recordId": rid, "modelInput": record["modelInput"]}
        try:
            output, taken, given = answer(
                job.model, job.body.get("modelInvocationType"), record["modelInput"],
                self.media_exists, knobs.odd_texts)
            if self.random.random() < knobs.error_rate:
                raise RecordError(knobs.error_code, knobs.error_message)
            line["modelOutput"] = output
            return line, taken, given, True
        except RecordError as e:
            what = {"errorCode": e.code, "errorMessage": e.message}
            self.errors += 1
            if knobs.error_forms[self.errors % len(knobs.error_forms)] == "A":
                line["error"] = what
            else:
                line["modelOutput"] = {**what, "expired": False,
                                       "retryable": e.code in (429, 500, 503)}
            return line, 0, 0, False

    def write(self, share):
        job, knobs = self.job, self.job.knobs
        bucket, prefix = split_uri(job.body["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        prefix = (prefix if not prefix or prefix.endswith("/") else prefix + "/") + job.id + "/"
        if knobs.probe_object:
            self.put(bucket, prefix + "amazon-bedrock-permission-check", b"")
        total = sum(len(records) for _, records in self.files)
        left = round(total * share)
        good = bad = taken = given = 0
        for key, records in self.files:
            lines = []
            for record in records[:max(left, 0)]:
                try:
                    line, tokens_in, tokens_out, fine = self.result(record)
                except Missing:
                    continue
                good, bad = good + fine, bad + (not fine)
                taken, given = taken + tokens_in, given + tokens_out
                lines.append(json.dumps(line, ensure_ascii=False, sort_keys=True,
                                        separators=(",", ":")))
            left -= len(records)
            if knobs.shuffle:
                self.random.shuffle(lines)
            text = "\n".join(lines) + ("\n" if knobs.final_newline and lines else "")
            self.put(bucket, prefix + self.output_name(key) + ".out",
                     text.encode("utf-8", "surrogatepass"))
        job.counters = (total, good + bad, good, bad)
        if knobs.manifest:
            self.put(bucket, prefix + "manifest.json.out", json.dumps({
                "totalRecordCount": total, "processedRecordCount": good + bad,
                "successRecordCount": good, "errorRecordCount": bad,
                "inputTokenCount": taken, "outputTokenCount": given}).encode())

    def output_name(self, key):
        if self.job.knobs.nested_names == "relative" and len(self.files) > 1:
            _, folder = split_uri(self.job.body["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
            return key[len(folder.rstrip("/")) + 1:]
        return key.rpartition("/")[2]

    def put(self, bucket, key, data):
        self.s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType="binary/octet-stream",
                           ACL="bucket-owner-full-control")
