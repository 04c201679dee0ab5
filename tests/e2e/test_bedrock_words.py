"""docs/operating.md, "When something is refused": each row, as it is met through a mount."""

import json
import re

import pytest

from bedrockkit import BUCKET, CLAUDE, NOVA, ROLE
from inputs import record, records
from mountkit import until

DATA = records(4)
USER = "User: arn:aws:iam::111122223333:user/dev is not authorized to perform: "

# (status, type, words) of the create call; what stands in the cure
AT_CREATE = [
    (400, "ValidationException", "Batch inference is not supported for the requested model.",
     "another region"),
    (400, "ValidationException", "Batch inference is not supported for model x.y in region us-east-1",
     "another region"),
    (400, "ValidationException", "The provided model identifier is invalid.", ".batchfs/models"),
    (400, "ValidationException", "Invocation of model ID x.y with on-demand throughput isn\u2019t "
     "supported. Retry your request with the ID or ARN of an inference profile", "global."),
    (403, "AccessDeniedException", USER + f"iam:PassRole on resource: {ROLE}",
     "iam:PassedToService"),
    (403, "AccessDeniedException", USER + "bedrock:CreateModelInvocationJob on resource: "
     "arn:aws:bedrock:us-west-2::foundation-model/x.y", "in another region"),
    (403, "AccessDeniedException", "Cross-account pass role is not allowed.", "-o role=ARN"),
    (400, "ValidationException", "Your account is not authorized to perform this action. Please "
     "create a support case", "open a support case"),
    (400, "ValidationException", "Could not validate GetObject permissions to access Amazon S3 "
     "bucket: b at key k", "s3:GetObject"),
    (400, "ValidationException", "Could not validate ListBucket permissions for S3URI s3://b/k",
     "s3:ListBucket"),
    (404, "ResourceNotFoundException", "Model use case details have not been submitted for this "
     "account.", "quarter of an hour"),
    (403, "AccessDeniedException", USER + "bedrock:CreateModelInvocationJob on resource: r with an "
     "explicit deny (condition aws:ResourceOrgID)", "exempt"),
    (400, "ValidationException", "The provided ARN is invalid for the service region",
     "-o region="),
]

# words of a job that the service ended as Failed
OF_JOBS = [
    ("Batch job arn:aws:bedrock:us-east-1:1:model-invocation-job/a contains less records (4) than "
     "the required minimum of: 100", "add records"),
    ("Invocation of model ID x.y with on-demand throughput isn\u2019t supported.", "global."),
    ("Could not validate GetObject permissions to access Amazon S3 bucket: b at key k",
     "s3:GetObject"),
    ("Could not validate ListBucket permissions for S3URI s3://b/k", "s3:ListBucket"),
    ("No jsonl files found in s3URI: s3://b/k", "run the job again"),
    ("Customer doesn't have permissions to invokeModel", "bedrock:InvokeModel"),
    ("Model access is denied: arn:aws:iam::1:role/r lacks aws-marketplace:Subscribe",
     "aws-marketplace:ViewSubscriptions"),
    ("Model use case details have not been submitted for this account.", "quarter of an hour"),
]

# words of a record's error
OF_RECORDS = [
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
     "take one out"),
    ("`temperature` is deprecated for this model.", "take them out"),
    ("anthropic_version: Field required", "bedrock-2023-05-31"),
    ("model: Extra inputs are not permitted", "out of modelInput"),
    ("The maximum tokens you requested exceeds the model limit of 10000", "lower max_tokens"),
    ("messages.0.content.1.image.source: URL sources are not supported", "media://FILE"),
    ("Model use case details have not been submitted for this account.", "quarter of an hour"),
]


def said_with_cure(text, words, cure):
    at = text.find(words.rstrip("."))
    assert at >= 0, f"not the service's words {words!r}: {text!r}"
    assert cure in text[at + len(words) - 1:], f"no cure {cure!r}: {text!r}"


def test_each_refusal_of_create(new_bedrock, cloud):
    mount = new_bedrock({"create_every": "0"}).start()
    for n, (status, kind, words, cure) in enumerate(AT_CREATE):
        job = mount.job(f"create-{n}")
        cloud.double.fault("CreateModelInvocationJob", "error", -1, value=(status, kind, words))
        job.fill(DATA, CLAUDE)
        job.wait_state("Invalid")
        cloud.double.clear_faults()
        said_with_cure(job.read("error"), words, cure)
        assert job.read("error").strip() == json.loads(job.read("status.json"))["error"].strip()
    assert cloud.double.jobs() == []


def test_each_failure_of_a_job(new_bedrock, cloud):
    mount = new_bedrock({"create_every": "0"}).start()
    for n, (words, cure) in enumerate(OF_JOBS):
        late = {"end": "Failed", "end_message": words} if n % 2 else {"fail_message": words}
        with cloud.double.setting(**late):
            job = mount.run_job(f"job-{n}", DATA)
        assert job.status() == "Failed"
        said_with_cure(job.read("error"), words, cure)


def test_each_error_of_records(new_bedrock, cloud):
    mount = new_bedrock({"create_every": "0"}).start()
    for n, (words, cure) in enumerate(OF_RECORDS):
        data = [record(f"r{i}", f"[[error:400:{words}]]") for i in range(4)]
        job = mount.run_job(f"records-{n}", data)
        assert job.status() == "Failed"
        said_with_cure(job.read("error"), words, cure)
        assert words in job.read("results.csv").replace('""', '"')
