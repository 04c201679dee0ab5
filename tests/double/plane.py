"""The control plane: the operations on jobs, models and tags, behind HTTP.

Plane.serve(request) -> Answer.  Routes look at the raw target: an ARN is one label of the
path, encoded; a '/' in it makes another path, which does not exist.
"""

import base64
import json
import random
import re
import string
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import parse_qsl, unquote

import modelfacts
from batchjobs import Job, Knobs, Runner, describe
from copy import deepcopy
from quotarows import jobs_max
from shapes import NAME, STATES, Fault, check_create, check_tags, text, unknown_members

ARN = re.compile(r"arn:aws(-[^:]+)?:bedrock:([a-z0-9-]{1,20}):([0-9]{12}):"
                 r"model-invocation-job/([a-z0-9]{12})")
ALPHABET = string.ascii_lowercase + string.digits


@dataclass
class Request:
    method: str
    target: str  # as sent
    headers: dict  # names in lower case
    body: bytes
    key: object = None  # sigcheck.Key of who asks
    region: str = None  # what it was signed for
    operation: str = "?"

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass
class Answer:
    status: int = 200
    body: object = None  # bytes, or what becomes JSON
    headers: dict = field(default_factory=dict)
    kind: str = "application/json"


class ApiError(Exception):
    def __init__(self, status, name, message):
        super().__init__(message)
        self.status, self.name, self.message = status, name, message


def invalid(message):
    return ApiError(400, "ValidationException", message)


def error_answer(e, where="header"):
    """An error in one of the forms that the services use."""
    answer = Answer(e.status, {"message": e.message})
    if where == "header":
        answer.headers["x-amzn-ErrorType"] = \
            e.name + ":http://internal.amazon.com/coral/com.amazon.bedrock/"
    elif where == "type":
        answer.body["__type"] = "com.amazon.bedrock#" + e.name
    else:
        answer.body = {"Message": e.message, "code": e.name}
    return answer


ROUTES = [
    ("POST", r"/model-invocation-job", "CreateModelInvocationJob"),
    ("GET", r"/model-invocation-job/([^/]+)", "GetModelInvocationJob"),
    ("GET", r"/model-invocation-jobs", "ListModelInvocationJobs"),
    ("POST", r"/model-invocation-job/([^/]+)/stop", "StopModelInvocationJob"),
    ("POST", r"/tagResource", "TagResource"),
    ("POST", r"/untagResource", "UntagResource"),
    ("POST", r"/listTagsForResource", "ListTagsForResource"),
    ("GET", r"/foundation-models", "ListFoundationModels"),
    ("GET", r"/foundation-models/([^/]+)", "GetFoundationModel"),
    ("GET", r"/foundation-model-availability/([^/]+)", "GetFoundationModelAvailability"),
    ("GET", r"/inference-profiles", "ListInferenceProfiles"),
    ("GET", r"/inference-profiles/([^/]+)", "GetInferenceProfile"),
]


def route(method, path):
    """(operation, its label or None); None if there is no such thing."""
    for wanted, pattern, operation in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and wanted == method:
            return operation, unquote(found[1]) if found.groups() else None
    return None


@dataclass
class Plane:
    """All jobs.  Threads: any."""

    s3_of: object  # role ARN -> S3 client or None
    bucket_region: object  # bucket -> region or None
    account: str = "111122223333"
    knobs: Knobs = field(default_factory=Knobs)
    fates: dict = field(default_factory=dict)  # "n", the n-th job from 1 -> {knob: its own value}
    halted: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    jobs: dict = field(default_factory=dict)  # ARN -> Job, oldest first
    tokens: dict = field(default_factory=dict)  # (region, token) -> Job
    threads: list = field(default_factory=list)
    sequence: int = 0
    empty_pages: bool = False
    page_max: int = 1000
    token_memory: bool = True  # False: a token is forgotten at once
    deny_pass_role: bool = False
    application_profiles: dict = field(default_factory=dict)  # ARN -> model id
    complaints: list = field(default_factory=list)  # what a client should not have sent

    def forget_all(self):
        """No jobs; what ran of them ends."""
        with self.lock:
            jobs, self.jobs, self.tokens = list(self.jobs.values()), {}, {}
        self.wake(jobs)
        for thread in self.threads:
            thread.join(10)
        self.threads.clear()
        self.complaints.clear()
        self.empty_pages, self.page_max, self.token_memory = False, 1000, True
        self.deny_pass_role, self.sequence = False, 0
        self.application_profiles.clear()
        self.fates = {}

    def wake(self, jobs):
        for job in jobs:
            with job.changed:
                job.changed.notify_all()

    def serve(self, request, operation, label):
        return getattr(self, "do_" + operation)(request, label)

    def stop(self):
        self.halted = True
        self.wake(list(self.jobs.values()))
        for thread in self.threads:
            thread.join(10)

    # --- jobs ---

    def body(self, request):
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            raise ApiError(400, "SerializationException", "not JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "SerializationException", "not an object")
        return body

    def do_CreateModelInvocationJob(self, request, _):
        body = self.body(request)
        try:
            check_create(body)
        except Fault as e:
            raise invalid(str(e)) from None
        self.complaints += [f"unknown member {n}" for n in unknown_members(body)]
        with self.lock:
            job = self.create_locked(request, body)
        return Answer(200, {"jobArn": job.arn})

    def create_locked(self, request, body):
        token = body.get("clientRequestToken")
        known = self.tokens.get((request.region, token))
        if known is not None and self.token_memory:
            if known.body != body:
                raise ApiError(400, "ConflictException",
                               "This client request token was used with other parameters.")
            return known
        self.check_role(request, body["roleArn"])
        found = modelfacts.resolve(body["modelId"], request.region, self.account,
                                   self.application_profiles)
        if found.refusal:
            raise invalid(found.refusal)
        live = [j for j in self.jobs.values() if j.live and j.region == request.region]
        if any(j.name == body["jobName"] for j in live):
            raise ApiError(400, "ConflictException", "The provided job name is currently in use.")
        most = jobs_max(self.knobs, found.model)
        if sum(j.model is found.model for j in live) >= most:
            raise ApiError(400, "ServiceQuotaExceededException",
                           "Your account has reached the maximum number of in-progress and "
                           f"submitted batch inference jobs for {found.model.name}: {most}")
        return self.add_locked(request.region, body, found, start=True)

    def add_locked(self, region, body, found, start):
        self.sequence += 1
        job_id = "".join(random.choices(ALPHABET, k=12))
        knobs = deepcopy(self.knobs)
        for name, value in self.fates.get(str(self.sequence), {}).items():
            setattr(knobs, name, value)
        job = Job(f"arn:aws:bedrock:{region}:{self.account}:model-invocation-job/{job_id}", body,
                  found.model, found.arn, region, self.account, knobs, self.sequence)
        job.tags = {t["key"]: t.get("value", "") for t in body.get("tags") or ()}
        self.jobs[job.arn] = job
        if body.get("clientRequestToken"):
            self.tokens[region, body["clientRequestToken"]] = job
        if start:
            runner = Runner(job, self.s3_of, self.bucket_region,
                            lambda: self.halted or job.arn not in self.jobs)
            thread = threading.Thread(target=runner.run, name=f"job {job.id}", daemon=True)
            self.threads.append(thread)
            thread.start()
        return job

    def check_role(self, request, role):
        account = role.split(":")[4]
        if account and account != self.account:
            raise ApiError(403, "AccessDeniedException",
                           "Cross-account pass role is not allowed.")
        if self.deny_pass_role:
            raise ApiError(403, "AccessDeniedException",
                           f"User: {request.key.arn} is not authorized to perform: iam:PassRole "
                           f"on resource: {role}")

    def find(self, request, arn):
        found = ARN.fullmatch(arn)
        if not found:
            raise invalid("The provided ARN is invalid")
        if request.region and found[2] != request.region:
            raise invalid("The provided ARN is invalid for the service region")
        with self.lock:
            job = self.jobs.get(arn)
        if job is None:
            raise ApiError(404, "ResourceNotFoundException",
                           f"The requested job {arn} was not found")
        return job

    def do_GetModelInvocationJob(self, request, label):
        return Answer(200, describe(self.find(request, label)))

    def do_StopModelInvocationJob(self, request, label):
        job = self.find(request, label)
        with job.changed:
            if not job.live:
                raise invalid("Operation not allowed on the job in this state. State was: "
                              + job.status)
            job.stop_asked = True
            job.changed.notify_all()
        return Answer(200, {})

    # --- listing ---

    def list_query(self, request):
        query = request.query
        known = {"submitTimeAfter", "submitTimeBefore", "statusEquals", "nameContains",
                 "maxResults", "nextToken", "sortBy", "sortOrder"}
        self.complaints += [f"unknown query parameter {n}" for n in query if n not in known]
        try:
            if "nameContains" in query:
                text(query, "nameContains", 1, 63, NAME)
            if query.get("statusEquals", "Failed") not in STATES:
                raise Fault("'statusEquals' is none of the states")
            if query.get("sortBy", "CreationTime") != "CreationTime":
                raise Fault("'sortBy' must be CreationTime")
            if query.get("sortOrder", "Ascending") not in ("Ascending", "Descending"):
                raise Fault("'sortOrder' must be Ascending or Descending")
            size = query.get("maxResults", "100")
            if not size.isdigit() or not 1 <= int(size) <= 1000:
                raise Fault("'maxResults' must be between 1 and 1000")
        except Fault as e:
            raise invalid(str(e)) from None
        return query, int(size)

    def matches(self, job, query, region):
        return ((region is None or job.region == region)
                and query.get("nameContains", "") in job.name
                and query.get("statusEquals", job.status) == job.status
                and (not query.get("submitTimeAfter")
                     or job.submitted > when(query["submitTimeAfter"]))
                and (not query.get("submitTimeBefore")
                     or job.submitted < when(query["submitTimeBefore"])))

    def do_ListModelInvocationJobs(self, request, _):
        query, size = self.list_query(request)
        filters = {k: v for k, v in query.items() if k not in ("nextToken", "maxResults")}
        ascending = query.get("sortOrder") == "Ascending"
        begin = None
        if "nextToken" in query:
            try:
                said = json.loads(base64.urlsafe_b64decode(query["nextToken"]))
                if said["filters"] != filters:
                    raise ValueError
                begin = said["begin"]
            except (ValueError, KeyError, TypeError):
                raise invalid("The provided nextToken is invalid") from None
        with self.lock:
            jobs = list(self.jobs.values())
        if not ascending:
            jobs.reverse()
        found = [j for j in jobs if begin is None
                 or (j.sequence >= begin if ascending else j.sequence <= begin)]
        found = [j for j in found if self.matches(j, filters, request.region)]
        size = min(size, self.page_max)
        if self.empty_pages and "nextToken" not in query and found:
            return self.page([], filters, found[0].sequence)
        rest = found[size].sequence if len(found) > size else None
        return self.page(found[:size], filters, rest)

    def page(self, jobs, filters, begin):
        body = {"invocationJobSummaries": [describe(j) for j in jobs]}
        if begin is not None:
            body["nextToken"] = base64.urlsafe_b64encode(json.dumps(
                {"begin": begin, "filters": filters, "salt": uuid.uuid4().hex}).encode()).decode()
        return Answer(200, body)

    # --- tags ---

    def do_TagResource(self, request, _):
        body = self.body(request)
        job = self.find(request, str(body.get("resourceARN")))
        try:
            tags = check_tags(body.get("tags"))
        except Fault as e:
            raise invalid(str(e)) from None
        new = {**job.tags, **{t["key"]: t.get("value", "") for t in tags}}
        if len(new) > 50:
            raise ApiError(400, "TooManyTagsException", "at most 50 tags")
        job.tags = new
        return Answer(200, {})

    def do_UntagResource(self, request, _):
        body = self.body(request)
        job = self.find(request, str(body.get("resourceARN")))
        job.tags = {k: v for k, v in job.tags.items() if k not in (body.get("tagKeys") or ())}
        return Answer(200, {})

    def do_ListTagsForResource(self, request, _):
        job = self.find(request, str(self.body(request).get("resourceARN")))
        return Answer(200, {"tags": [{"key": k, "value": v} for k, v in job.tags.items()]})

    # --- models ---

    def do_ListFoundationModels(self, request, _):
        query = request.query
        rows = [modelfacts.summary(m, request.region or "us-east-1") for m in modelfacts.MODELS]
        rows = [r for r in rows
                if query.get("byProvider", "").lower() in r["providerName"].lower()
                and query.get("byOutputModality", r["outputModalities"][0])
                in r["outputModalities"]
                and (not query.get("byInferenceType")
                     or query["byInferenceType"] in r["inferenceTypesSupported"])]
        return Answer(200, {"modelSummaries": rows})

    def model(self, label):
        model = modelfacts.BY_ID.get(label.rpartition("/")[2])
        if model is None:
            raise ApiError(404, "ResourceNotFoundException",
                           "Could not resolve the foundation model from the provided model "
                           "identifier.")
        return model

    def do_GetFoundationModel(self, request, label):
        return Answer(200, {"modelDetails": modelfacts.summary(
            self.model(label), request.region or "us-east-1")})

    def do_GetFoundationModelAvailability(self, request, label):
        return Answer(200, {
            "modelId": self.model(label).id, "agreementAvailability": {"status": "AVAILABLE"},
            "authorizationStatus": "AUTHORIZED", "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE"})

    def profiles(self, request):
        region = request.region or "us-east-1"
        rows = modelfacts.profiles(region, self.account)
        for arn, model_id in self.application_profiles.items():
            rows.append({"inferenceProfileName": "cost-centre-7", "inferenceProfileArn": arn,
                         "inferenceProfileId": arn.rpartition("/")[2], "status": "ACTIVE",
                         "type": "APPLICATION",
                         "models": [{"modelArn": modelfacts.foundation_arn(region, model_id)}]})
        return rows

    def do_ListInferenceProfiles(self, request, _):
        query = request.query
        rows = [r for r in self.profiles(request)
                if query.get("type", query.get("typeEquals", r["type"])) == r["type"]]
        size = min(int(query.get("maxResults", "100")), self.page_max)
        at = query.get("nextToken", "0")
        if not at.isdigit():
            raise invalid("The provided nextToken is invalid")
        rows, rest = rows[int(at):][:size], rows[int(at):][size:]
        return Answer(200, {"inferenceProfileSummaries": rows,
                            **({"nextToken": str(int(at) + size)} if rest else {})})

    def do_GetInferenceProfile(self, request, label):
        for row in self.profiles(request):
            if label in (row["inferenceProfileId"], row["inferenceProfileArn"]):
                return Answer(200, row)
        raise ApiError(404, "ResourceNotFoundException", "no such inference profile")


def when(stamp):
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(
            timezone.utc).timestamp()
    except ValueError:
        raise invalid(f"'{stamp}' is not a time") from None
