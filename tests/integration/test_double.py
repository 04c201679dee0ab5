"""The double is exercised by the official SDK: what the SDK takes for the service is faithful.

Also the server in front of S3, by the same SDK and by botocore.
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "double"))

from answers import answer_text  # noqa: E402
from double import OWNER, ROLE, Double  # noqa: E402
from s3faults import S3Faults  # noqa: E402
from s3server import missing, s3server  # noqa: E402,F401
from sdkkit import Sdk, SdkError, sdk_place  # noqa: E402,F401
from sigcheck import Key  # noqa: E402

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

ARN = f"arn:aws:bedrock:us-east-1:{OWNER}:model-invocation-job/"
CLAUDE = "us.anthropic.claude-sonnet-4-6"


@pytest.fixture(scope="module")
def double(s3server):  # noqa: F811
    with Double(s3server) as d:
        d.make_bucket("bucket-1")
        d.knobs.min_records = 3
        yield d


@pytest.fixture(scope="module")
def front(s3server, double):  # noqa: F811
    with S3Faults(s3server, double) as f:
        yield f


@pytest.fixture(autouse=True)
def clean(double, front):
    yield
    double.clear_faults()
    front.clear()
    assert double.plane.complaints == []


@pytest.fixture
def sdk(double, front, sdk_place):  # noqa: F811
    return Sdk(double.variables(front.url))


def claude_records(count, text="question {}", **more):
    return "".join(json.dumps({"recordId": f"r{i}", "modelInput": {
        "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9,
        "messages": [{"role": "user", "content": text.format(i)}], **more}}) + "\n"
        for i in range(count))


def job_input(name, uri="s3://bucket-1/{}/in.jsonl", **more):
    return {"jobName": name, "roleArn": ROLE, "modelId": CLAUDE,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri.format(name)}},
            "outputDataConfig": {"s3OutputDataConfig": {
                "s3Uri": f"s3://bucket-1/{name}/out/"}}, **more}


def put(double, name, text, key="in.jsonl"):
    double.s3.client().put_object(Bucket="bucket-1", Key=f"{name}/{key}", Body=text.encode())


def create(double, name, text=None, **more):
    """A job as if a client had made it, without one."""
    put(double, name, text or claude_records(5))
    return signed(double, "POST", "/model-invocation-job", json.dumps(job_input(name, **more)))


def signed(double, method, target, body="", key=None, service="bedrock", region="us-east-1",
           headers=None, tamper=None):
    """(status, error type, answer) of a call signed by botocore."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    key = key or (double.s3.access_key, double.s3.secret_key)
    request = AWSRequest(method, double.url + target, data=body.encode(), headers=headers)
    SigV4Auth(Credentials(*key), service, region).add_auth(request)
    sent = dict(request.headers)
    if tamper:
        tamper(sent)
    connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=20)
    connection.request(method, target, body.encode(), sent)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    kind = (answer.getheader("x-amzn-ErrorType") or "").partition(":")[0]
    try:
        return answer.status, kind, json.loads(text)
    except ValueError:
        return answer.status, kind, text


def until_ended(double, arn, timeout=15):
    job = double.plane.jobs[arn]
    with job.changed:
        assert job.changed.wait_for(lambda: not job.live, timeout), job.status
    return job


def out_lines(double, job, name="in.jsonl.out"):
    body = double.s3.client().get_object(Bucket="bucket-1",
                                         Key=f"{job.name}/out/{job.id}/{name}")["Body"].read()
    return [json.loads(line) for line in body.split(b"\n") if line]


# With the SDK.


def test_the_sdk_invokes_models_one_by_one(sdk, double):
    prompt = {"messages": [{"role": "user", "content": [{"text": "sdk one"}]}]}
    claude = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9,
              "messages": [{"role": "user", "content": "sdk two"}]}
    nova, said, invoked, refused, unknown, denied = sdk.run(
        ("Converse", {"modelId": "amazon.nova-micro-v1:0", **prompt}),
        ("InvokeModel", {"modelId": "amazon.nova-micro-v1:0", "body": json.dumps(prompt)}),
        ("InvokeModel", {"modelId": f"arn:aws:bedrock:us-east-1:{OWNER}:inference-profile/"
                         + CLAUDE, "body": json.dumps(claude)}),
        ("InvokeModel", {"modelId": "anthropic.claude-sonnet-4-6", "body": json.dumps(claude)}),
        ("InvokeModel", {"modelId": "nobody.knows-it", "body": "{}"}),
        ("InvokeModel", {"modelId": CLAUDE, "body": "{}"}))
    blocks = nova["output"]["message"]["content"]
    assert blocks[-1] == {"text": answer_text("sdk one")}, "no nulls on demand"
    assert nova["usage"]["inputTokens"] == 2
    assert json.loads(said["body"])["output"]["message"]["content"][0]["text"] == \
        answer_text("sdk one")
    assert json.loads(invoked["body"])["content"][0]["text"] == answer_text("sdk two")
    assert refused.name == "ValidationException" and refused.typed and refused.status == 400
    assert "on-demand throughput" in refused.message
    assert unknown.name == "ValidationException" and "identifier is invalid" in unknown.message
    assert denied.name == "ValidationException", "of the record: no anthropic_version"
    assert double.runtime.summary()["bought"] == 3


def test_the_runtimes_faults_reach_the_sdk_with_their_types(sdk, double):
    def ask(text="fault", **settings):
        body = json.dumps({"prompt": text})
        with double.setting(**settings):
            return sdk.run(("InvokeModel", {"modelId": "meta.llama3-1-8b-instruct-v1:0",
                                            "body": body}))[0]

    before = double.runtime.summary()["bought"]
    for error, name, status in [
            (ask(runtime_throttle_rate=1), "ThrottlingException", 429),
            (ask(runtime_denied=True), "AccessDeniedException", 403),
            (ask(runtime_error_rate=1), "InternalServerException", 500),
            (ask("[[error:408:too long]]"), "ModelTimeoutException", 408),
            (ask("[[error:424:it broke]]"), "ModelErrorException", 424),
            (ask("[[missing]]"), "ModelErrorException", 424)]:
        assert (error.name, error.status, error.typed) == (name, status, True)
    assert double.runtime.summary()["bought"] == before, "refusals are not bought"
    assert "generation" in ask("[[error:400:x]]", runtime_fates=False)["body"]
    double.fault("InvokeModel", "throttle")
    assert ask().name == "ThrottlingException"


def test_the_runtime_lets_in_so_many_at_once(double):
    def ask(i):
        return signed(double, "POST", "/model/meta.llama3-1-8b-instruct-v1%3A0/invoke",
                      json.dumps({"prompt": f"crowd {i}"}))[0]

    with double.setting(runtime_parallel=2, runtime_latency=0.3), \
            ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(8)))
    assert sorted(set(statuses)) == [200, 429]
    assert double.runtime.most_bought() <= 1 or statuses.count(200) == 2


def test_the_sdk_makes_a_job_and_follows_it_to_its_end(sdk, double, front):
    made, got, page, tagged, tags, _, fewer, listed = sdk.run(
        ("PutObject", {"Bucket": "bucket-1", "Key": "sdk-1/in.jsonl",
                       "Body": claude_records(5)}),
        ("CreateModelInvocationJob", job_input("sdk-1", tags=[{"key": "team", "value": "a b"}])),
        ("GetModelInvocationJob", {"jobIdentifier": "$"}),
        ("TagResource", {"resourceARN": "$", "tags": [{"key": "more", "value": ""}]}),
        ("ListTagsForResource", {"resourceARN": "$"}),
        ("UntagResource", {"resourceARN": "$", "tagKeys": ["team"]}),
        ("ListTagsForResource", {"resourceARN": "$"}),
        ("ListModelInvocationJobs", {"nameContains": "sdk-1"}))
    arn = got["jobArn"]
    assert arn.startswith(ARN) and len(arn) == len(ARN) + 12
    assert page["status"] == "Submitted" and page["jobArn"] == arn
    assert page["modelId"].endswith(f"{OWNER}:inference-profile/{CLAUDE}")
    assert page["timeoutDurationInHours"] == 24
    assert page["inputDataConfig"]["s3InputDataConfig"]["s3BucketOwner"] == OWNER
    assert page["clientRequestToken"], "the SDK fills it in, and Get tells it"
    assert {t["key"]: t["value"] for t in tags["tags"]} == {"team": "a b", "more": ""}
    assert fewer["tags"] == [{"key": "more", "value": ""}]
    assert [r["jobName"] for r in listed["invocationJobSummaries"]] == ["sdk-1"]
    job = until_ended(double, arn)
    assert job.history == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    ended, listing, out = sdk.run(
        ("GetModelInvocationJob", {"jobIdentifier": arn}),
        ("ListObjectsV2", {"Bucket": "bucket-1", "Prefix": f"sdk-1/out/{job.id}/"}),
        ("GetObject", {"Bucket": "bucket-1", "Key": f"sdk-1/out/{job.id}/in.jsonl.out"}))
    assert ended["status"] == "Completed" and ended["endTime"] > ended["submitTime"]
    assert f"sdk-1/out/{job.id}/manifest.json.out" in [c["Key"] for c in listing["Contents"]]
    texts = {}
    for line in out["Body"].strip("\n").split("\n"):
        line = json.loads(line)
        texts[line["recordId"]] = line["modelOutput"]["content"][0]["text"]
    assert texts == {f"r{i}": answer_text(f"question {i}") for i in range(5)}
    assert front.totals()["PutObject"].statuses == {200: 1}


def test_the_sdk_pages_through_a_list(sdk, double):
    double.plant(25, prefix="paged")
    with double.setting(empty_pages=True):
        pages, = sdk.run(("paginateListModelInvocationJobs", {
            "maxResults": 10, "nameContains": "paged", "sortBy": "CreationTime",
            "sortOrder": "Descending", "statusEquals": "Completed"}))
    assert [len(p["invocationJobSummaries"]) for p in pages] == [0, 10, 10, 5]
    names = [r["jobName"] for p in pages for r in p["invocationJobSummaries"]]
    assert names == [f"paged-{i:06d}" for i in reversed(range(25))]
    first = pages[1]["invocationJobSummaries"][0]["submitTime"]
    older, none = sdk.run(
        ("ListModelInvocationJobs", {"nameContains": "paged", "submitTimeBefore": first}),
        ("ListModelInvocationJobs", {"nameContains": "paged", "submitTimeAfter":
                                     "2999-01-01T00:00:00Z"}))
    assert 24 <= len(older["invocationJobSummaries"]) <= 25  # the SDK cuts the milliseconds
    assert none["invocationJobSummaries"] == []


def test_the_sdk_stops_a_job_and_is_told_that_it_has_ended(sdk, double):
    with double.setting(durations={"InProgress": 20, "Stopping": 0.05}):
        create_call = ("CreateModelInvocationJob", job_input("stopped"))
        put(double, "stopped", claude_records(10))
        made, = sdk.run(create_call)
    job = double.plane.jobs[made["jobArn"]]
    with job.changed:
        assert job.changed.wait_for(lambda: job.status == "InProgress", 10)
    stopped, = sdk.run(("StopModelInvocationJob", {"jobIdentifier": job.arn}))
    assert not isinstance(stopped, SdkError)
    assert until_ended(double, job.arn).status == "Stopped"
    again, = sdk.run(("StopModelInvocationJob", {"jobIdentifier": job.arn}))
    assert again.name == "ValidationException" and "State was: Stopped" in again.message


def test_the_sdk_reads_models_and_profiles(sdk):
    models, one, profiles, missing_one = sdk.run(
        ("ListFoundationModels", {"byProvider": "Anthropic"}),
        ("GetFoundationModel", {"modelIdentifier": "amazon.nova-micro-v1:0"}),
        ("paginateListInferenceProfiles", {"maxResults": 5, "typeEquals": "SYSTEM_DEFINED"}),
        ("GetFoundationModel", {"modelIdentifier": "amazon.none-v1:0"}))
    assert {m["providerName"] for m in models["modelSummaries"]} == {"Anthropic"}
    assert one["modelDetails"]["inferenceTypesSupported"] == ["ON_DEMAND", "INFERENCE_PROFILE"]
    ids = [p["inferenceProfileId"] for page in profiles for p in page["inferenceProfileSummaries"]]
    assert CLAUDE in ids and len(profiles) > 1
    assert missing_one.name == "ResourceNotFoundException" and missing_one.typed


@pytest.mark.parametrize("kind, status, name", [
    ("throttle", 429, "ThrottlingException"), ("500", 500, "InternalServerException"),
    ("503", 503, "ServiceUnavailableException"), ("expired", 403, "ExpiredTokenException")])
@pytest.mark.parametrize("style", ["header", "type", "code"])
def test_errors_are_typed_exceptions_of_the_sdk(sdk, double, kind, status, name, style):
    double.fault("ListModelInvocationJobs", kind, count=-1)
    with double.setting(error_style=style):
        error, = sdk.run(("ListModelInvocationJobs", {}))
    assert (error.name, error.status) == (name, status)
    assert error.typed or kind == "expired"


def test_refusals_at_create_are_typed(sdk, double):
    errors = sdk.run(
        ("CreateModelInvocationJob", job_input("a_b")),
        ("CreateModelInvocationJob", {**job_input("x1"), "modelId": "anthropic.claude-sonnet-4-6"}),
        ("CreateModelInvocationJob", {**job_input("x1"),
                                      "roleArn": "arn:aws:iam::999999999999:role/R"}),
        ("GetModelInvocationJob", {"jobIdentifier": "ab12cd34ef56"}),
        ("GetModelInvocationJob", {"jobIdentifier": ARN + "ab12cd34ef56"}))
    assert [(e.name, e.status) for e in errors] == [
        ("ValidationException", 400), ("ValidationException", 400),
        ("AccessDeniedException", 403), ("ValidationException", 400),
        ("ResourceNotFoundException", 404)]
    assert "jobName" in errors[0].message and "inference profile" in errors[1].message
    assert errors[3].message == "The provided ARN is invalid"
    assert all(e.typed for e in errors)


def test_the_sdk_uploads_in_parts_and_a_wrong_sum_is_found(sdk, front):
    made, = sdk.run(("CreateMultipartUpload", {"Bucket": "bucket-1", "Key": "parts",
                                               "ChecksumAlgorithm": "CRC32"}))
    upload = made["UploadId"]
    part, bad = sdk.run(
        ("UploadPart", {"Bucket": "bucket-1", "Key": "parts", "UploadId": upload,
                        "PartNumber": 1, "Body": "x" * 100}),
        ("UploadPart", {"Bucket": "bucket-1", "Key": "parts", "UploadId": upload,
                        "PartNumber": 2, "Body": "y", "ChecksumCRC32": "AAAAAA=="}))
    assert bad.name == "BadDigest"
    complete = {"Bucket": "bucket-1", "Key": "parts", "UploadId": upload,
                "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"],
                                               "ChecksumCRC32": part["ChecksumCRC32"]}]}}
    front.fault("CompleteMultipartUpload", "lying")
    lying, done = sdk.run(("CompleteMultipartUpload", complete),
                          ("CompleteMultipartUpload", complete))
    assert lying.name == "InternalError" and not isinstance(done, SdkError)


def test_a_bucket_of_another_region_is_told_to_the_sdk(sdk, front, double):
    double.make_bucket("elsewhere", region="eu-west-1")
    wrong, head = sdk.run(("PutObject", {"Bucket": "elsewhere", "Key": "k", "Body": "x"}),
                          ("HeadBucket", {"Bucket": "elsewhere"}))
    assert wrong.name == "PermanentRedirect" and head.status == 301
    right, head = sdk.run(("PutObject", {"Bucket": "elsewhere", "Key": "k", "Body": "x"}),
                          ("HeadBucket", {"Bucket": "elsewhere"}), AWS_REGION="eu-west-1")
    assert not isinstance(right, SdkError) and head["BucketRegion"] == "eu-west-1"


# Without it.


def test_signatures_are_checked(double):
    target = "/model-invocation-jobs"
    assert signed(double, "GET", target)[0] == 200
    key = double.s3.access_key, double.s3.secret_key

    def without(name):
        return lambda h: h.pop(name)

    def stamp(h):
        h["X-Amz-Date"] = "20200101T000000Z"
    rows = [
        ("wrong secret", {"key": (key[0], "x")}, "InvalidSignatureException"),
        ("unknown key", {"key": ("AKIAX", "x")}, "UnrecognizedClientException"),
        ("wrong service", {"service": "s3"}, "InvalidSignatureException"),
        ("region that is none", {"region": "mars-1"}, "InvalidSignatureException"),
        ("token of nobody", {"key": (*key, "tok")}, "UnrecognizedClientException"),
        ("no signature", {"tamper": without("Authorization")},
         "MissingAuthenticationTokenException"),
        ("date outside the signature", {"tamper": stamp}, "IncompleteSignature"),
    ]
    for why, more, kind in rows:
        status, got, _ = signed(double, "GET", target, **more)
        assert (status, got) == (403, kind), why
    with double.setting(clock_offset=400.0):
        assert signed(double, "GET", target)[1] == "InvalidSignatureException"


def test_the_path_of_an_arn_is_signed_encoded_twice(double):
    arn = create(double, "paths")[2]["jobArn"]
    label = "/model-invocation-job/" + quote(arn, safe="")
    assert signed(double, "GET", label)[0] == 200
    assert signed(double, "GET", "/model-invocation-job/" + arn)[1] == "UnknownOperationException"
    assert signed(double, "GET", label.replace("%", "%25"))[2]["message"] == \
        "The provided ARN is invalid"
    key = double.keyring.find(double.s3.access_key)
    assert key.arn.endswith("user/dev")


def test_temporary_keys_end_and_bearer_keys_work(double):
    key = double.mint("arn:aws:sts::111122223333:assumed-role/x/y", 100)
    words = (key.access_key, key.secret_key, key.token)
    assert signed(double, "GET", "/model-invocation-jobs", key=words)[0] == 200
    assert len(double.s3.client(*words[:2]).list_buckets()["Buckets"]) >= 1
    double.keyring.expire(key.access_key)
    assert signed(double, "GET", "/model-invocation-jobs",
                  key=words)[1] == "ExpiredTokenException"
    double.keyring.add_bearer("bedrock-api-key-1")

    def bearer(headers):
        headers["Authorization"] = "Bearer bedrock-api-key-1"
    assert signed(double, "GET", "/model-invocation-jobs", tamper=bearer)[0] == 200
    double.keyring.add(Key("AKIAOTHER", "s"))
    assert "bedrock-api-key-1" in double.keyring.secrets()


@pytest.mark.parametrize("text, more, message", [
    (claude_records(2), {}, "contains less records (2) than the required minimum of: 3"),
    ("{}\n{}\n{}\n", {}, "malformed JSON record at line 1"),
    (claude_records(5), {"uri": "s3://bucket-1/{}/none.jsonl"}, "Could not validate GetObject"),
    (claude_records(5), {"uri": "s3://bucket-1/{}/empty/"}, "No jsonl files found in s3URI"),
    (claude_records(5), {"uri": "s3://no-such-bucket/"}, "Could not validate ListBucket"),
    (claude_records(5), {"roleArn": f"arn:aws:iam::{OWNER}:role/Other"},
     "Could not validate ListBucket"),
])
def test_validation_fails_with_words(double, text, more, message):
    name = f"invalid-{time.monotonic_ns()}"
    arn = create(double, name, text, **more)[2]["jobArn"]
    job = until_ended(double, arn)
    assert job.status == "Failed" and message in job.message


@pytest.mark.parametrize("knobs, message", [
    ({"max_records_file": 4}, "exceeds the maximum number of records"),
    ({"max_records_job": 4}, "contains more records (5) than the allowed maximum of: 4"),
    ({"max_file_bytes": 100}, "exceeds the maximum file size"),
    ({"max_job_bytes": 100}, "exceeds the maximum job size"),
])
def test_what_is_over_a_limit_fails_when_it_is_looked_at(double, knobs, message):
    with double.setting(**knobs):
        arn = create(double, f"over-{time.monotonic_ns()}", claude_records(5))[2]["jobArn"]
    job = until_ended(double, arn)
    assert job.status == "Failed" and message in job.message


def test_limits_are_told_as_quotas(double):
    def ask(token=None):
        body = {"ServiceCode": "bedrock", **({"NextToken": token} if token else {})}
        return signed(double, "POST", "/", json.dumps(body), service="servicequotas", headers={
            "X-Amz-Target": "ServiceQuotasV20190624.ListServiceQuotas",
            "Content-Type": "application/x-amz-json-1.1"})

    rows, token = {}, None
    with double.setting(min_records=7, max_file_bytes=200_000_000, quota_page=60,
                        quota_spellings=("unit last", "dot"),
                        max_jobs_of={"anthropic.claude-3-haiku-20240307-v1:0": 2}):
        while token is not None or not rows:
            status, _, page = ask(token)
            assert status == 200 and len(page["Quotas"]) <= 60
            rows.update((r["QuotaName"], r["Value"]) for r in page["Quotas"])
            token = page.get("NextToken")
    assert rows["Minimum number of records per batch inference job for Claude 3 Haiku"] == 7
    assert rows["Minimum number of records per batch inference job for Claude Haiku 4.5."] == 7
    assert rows["Batch inference input file size for Claude 3 Haiku (in GB)"] == 0.2
    assert rows["Sum of in-progress and submitted batch inference jobs using a base model for "
                "Claude 3 Haiku"] == 2
    with double.setting(quotas_denied=True):
        assert ask()[0] == 400


def test_a_token_makes_one_job_and_a_live_name_is_taken(double):
    with double.setting(durations={"Submitted": 5}):
        first = create(double, "once", clientRequestToken="tok-1")
        assert create(double, "once", clientRequestToken="tok-1")[2] == first[2]
        other = create(double, "once", clientRequestToken="tok-2")
        assert other[1] == "ConflictException" and "currently in use" in other[2]["message"]
        mixed = create(double, "once2", clientRequestToken="tok-1")
        assert mixed[1] == "ConflictException"
        double.fault("CreateModelInvocationJob", "lost")
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            create(double, "lost", clientRequestToken="tok-3")
        assert len(double.jobs("lost")) == 1
        with double.setting(max_jobs=1):
            full = create(double, "full")
        assert full[1] == "ServiceQuotaExceededException" and full[0] == 400


def test_results_come_in_every_shape(double):
    text = claude_records(30) + claude_records(1, "[[error:400:no such thing]]") \
        + claude_records(1, "[[missing]]")
    lines = text.splitlines(keepends=True)
    lines[0] = lines[0].replace('"recordId": "r0", ', "")
    with double.setting(error_rate=0.3, error_forms="AB"):
        arn = create(double, "shapes", "".join(lines))[2]["jobArn"]
    job = until_ended(double, arn)
    rows = out_lines(double, job)
    assert job.status == "Completed" and len(rows) == 31
    assert [r["recordId"] for r in rows] != sorted(r["recordId"] for r in rows)
    assert any("error" in r for r in rows), "form A"
    assert any("errorCode" in r.get("modelOutput", {}) for r in rows), "form B"
    invented = [r["recordId"] for r in rows if len(r["recordId"]) == 11]
    assert len(invented) == 1
    manifest = json.loads(double.s3.client().get_object(
        Bucket="bucket-1", Key=f"shapes/out/{job.id}/manifest.json.out")["Body"].read())
    assert manifest["totalRecordCount"] == 32 and manifest["errorRecordCount"] >= 1
    assert job.counters == tuple(manifest[n + "RecordCount"] for n in (
        "total", "processed", "success", "error"))


@pytest.mark.parametrize("end, share, status", [
    ("PartiallyCompleted", 0.5, "PartiallyCompleted"), ("Stopped", 0.4, "Stopped"),
    ("Expired", 0, "Expired"), ("Failed", 0, "Failed")])
def test_ends_other_than_completed(double, end, share, status):
    with double.setting(end=end, done_share=share):
        arn = create(double, f"end-{end}", claude_records(10))[2]["jobArn"]
    job = until_ended(double, arn)
    assert job.status == status
    if share:
        assert len(out_lines(double, job)) == 10 * share
    else:
        assert not double.s3.keys("bucket-1", f"end-{end}/out/")


def test_converse_writes_nulls_and_needs_its_media(double):
    put(double, "conv", "image", "media/a.png")
    records = [{"recordId": f"r{i}", "modelInput": {"messages": [{"role": "user", "content": [
        {"text": f"q{i}"}, {"image": {"format": "png", "source": {"s3Location": {
            "uri": f"s3://bucket-1/conv/media/{name}"}}}}]}]}}
        for i, name in enumerate(("a.png", "a.png", "no.png"))]
    arn = create(double, "conv", "".join(json.dumps(r) + "\n" for r in records),
                 uri="s3://bucket-1/{}/", modelInvocationType="Converse")[2]["jobArn"]
    rows = {r["recordId"]: r for r in out_lines(double, until_ended(double, arn))}
    block = rows["r0"]["modelOutput"]["output"]["message"]["content"][1]
    assert block["text"] == answer_text("q0") and block["image"] is None
    assert "no.png" in json.dumps(rows["r2"])


def test_the_front_expires_sessions_and_breaks_downloads(double, front):
    from botocore.exceptions import ClientError

    put(double, "front", "0123456789")
    s3 = double.s3.client(endpoint=front.url)
    tag = s3.head_object(Bucket="bucket-1", Key="front/in.jsonl")["ETag"]
    front.fault("GetObject", "rewrite", skip=1)
    assert s3.get_object(Bucket="bucket-1", Key="front/in.jsonl", IfMatch=tag,
                         Range="bytes=0-4")["Body"].read() == b"01234"
    with pytest.raises(ClientError, match="Precondition|412"):
        s3.get_object(Bucket="bucket-1", Key="front/in.jsonl", IfMatch=tag, Range="bytes=5-9")
    front.fault("GetObject", "cut", value=3)
    with pytest.raises(Exception):
        s3.get_object(Bucket="bucket-1", Key="front/in.jsonl")["Body"].read()
    front.fault("ListObjectsV2", "slowdown", count=-1)
    with pytest.raises(ClientError, match="SlowDown"):
        s3.list_objects_v2(Bucket="bucket-1")
    front.clear()
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket="bucket-1", ExpectedBucketOwner="999999999999")


def test_the_friends_answer(double):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, text = signed(double, "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15",
                             service="sts", headers=form)
    assert status == 200 and b"<Account>111122223333</Account>" in text
    status, _, text = signed(double, "POST", "/",
                             f"Action=AssumeRole&Version=2011-06-15&RoleArn={quote(ROLE)}"
                             "&RoleSessionName=s", service="sts", headers=form)
    assert status == 200 and b"<SessionToken>" in text
    status, _, text = signed(double, "POST", "/",
                             "Action=GetRole&Version=2010-05-08&RoleName=BatchRole",
                             service="iam", headers=form)
    assert status == 200 and b"bedrock.amazonaws.com" in text
    double.friends.quotas = {"Records per batch inference job for Nova Micro": 100000}
    status, _, page = signed(double, "POST", "/", '{"ServiceCode":"bedrock"}',
                             service="servicequotas", headers={
                                 "X-Amz-Target": "ServiceQuotasV20190624.ListServiceQuotas",
                                 "Content-Type": "application/x-amz-json-1.1"})
    assert status == 200 and len(page["Quotas"]) == 100 and page["NextToken"]


def test_programs_in_other_languages_have_an_interface(double):
    def admin(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=20)
        connection.request(method, "/-/" + path, body and json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    assert admin("POST", "knobs", {"counter_lag": 0.1}) == (200, {})
    assert double.knobs.counter_lag == 0.1
    assert admin("POST", "knobs", {"counter_lag": 0}) == (200, {})
    assert admin("POST", "knobs", {"nothing": 1})[0] == 400
    fault = {"operation": "ListModelInvocationJobs", "kind": "500"}
    assert admin("POST", "faults", fault) == (200, {})
    assert signed(double, "GET", "/model-invocation-jobs")[0] == 500
    assert admin("GET", "requests")[1]["ListModelInvocationJobs"]["count"] >= 1
    session = admin("GET", "credentials?seconds=60")[1]
    assert session["Version"] == 1
    key = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    assert signed(double, "GET", "/model-invocation-jobs", key=key)[0] == 200
    assert admin("POST", "expire")[0] == 200
    assert signed(double, "GET", "/model-invocation-jobs", key=key)[0] == 403
