#!/usr/bin/python3
"""A double of Amazon Bedrock's batch inference, and of the services around it, on loopback.

	with S3Server() as s3, Double(s3) as double:
	    double.knobs.min_records = 5
	    with double.setting(error_rate=0.3, end="PartiallyCompleted"):
	        ...
	    double.fault("CreateModelInvocationJob", "lost")

One port serves the control plane, the runtime, STS, IAM, Service Quotas, SSO, instance metadata and a
container's credentials; AWS_ENDPOINT_URL may point all but S3 at it.  Every request but those
that are unsigned by nature must be signed as botocore would sign it.  `requests` has all that
came.  From another process: the admin interface below /-/ (admin.py), and from a shell:

	double.py --bucket bucket-1 -- COMMAND...    an S3 server, faults in front of it, the double
"""

import argparse
import json
import random
import signal
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1] / "integration")]

import modelfacts
from admin import serve_admin
from batchjobs import Knobs
from friends import Friends, form_of, xml_error
from loopback import LoopbackService, break_off
from plane import Answer, ApiError, Plane, Request, error_answer, route
from quotarows import quota_rows
from runtime import Runtime, route_runtime
from s3server import OWNER, S3Server, missing, serve_shell
from sigcheck import Key, Keyring, Refused, temporary, verify

ROLE = f"arn:aws:iam::{OWNER}:role/BatchRole"
SERVICE = ("batch-service", "AKIABATCHSERVICE0001", "the-service-roles-own-secret")

REFUSALS = {  # of sigcheck.Refused: status, name for JSON services, name for XML ones
    "missing": (403, "MissingAuthenticationTokenException", "MissingAuthenticationToken"),
    "incomplete": (403, "IncompleteSignature", "IncompleteSignature"),
    "unknown": (403, "UnrecognizedClientException", "InvalidClientTokenId"),
    "skewed": (403, "InvalidSignatureException", "SignatureDoesNotMatch"),
    "signature": (403, "InvalidSignatureException", "SignatureDoesNotMatch"),
    "scope": (403, "InvalidSignatureException", "SignatureDoesNotMatch"),
    "expired": (403, "ExpiredTokenException", "ExpiredToken"),
}


@dataclass
class FaultRule:
    """What becomes of the next requests for an operation ("*": any).

    kinds: throttle 500 503 expired error: answered so, not acted on
           reset: the connection breaks before it is acted on
           lost: acted on, then the connection breaks without an answer
           cut: acted on, half of the answer comes
           slow: answered after value seconds
           garbage: a 200 that is no JSON, acted on
           error: value is (status, name, message)"""

    operation: str
    kind: str
    count: int = 1  # how often; -1: until cleared
    skip: int = 0  # after so many that go well
    value: object = None


@dataclass
class Seen:
    operation: str
    method: str
    target: str
    status: int
    access_key: str
    region: str
    at: float
    bytes_in: int
    bytes_out: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""


class Broken(Exception):
    """The connection is to be broken."""


class Double(LoopbackService):
    """The whole.  s3: an S3Server that is up."""

    def __init__(self, s3, regions=("us-east-1", "us-west-2", "eu-west-1")):
        self.s3, self.regions = s3, regions
        self.keyring = Keyring()
        self.roles = {}  # role ARN -> (access key, secret) in S3
        self.bucket_regions = {}  # for wrong regions; S3Faults looks here as well
        self.plane = Plane(self.s3_of, self.bucket_regions.get)
        self.runtime = Runtime(self.plane)
        self.friends = self.make_friends()
        self.faults, self.requests = [], []
        self.lock = threading.Lock()
        self.clock_offset = 0.0  # of the double's clock, seconds
        self.error_style = "header"  # or "type", "code": where errors tell their type
        self.watch = None  # called with ("bedrock", "before" or "after", Request) at each one

    # --- life ---

    def start(self):
        self.keyring.add(Key(self.s3.access_key, self.s3.secret_key))
        self.s3.make_user(*SERVICE)
        self.add_role(ROLE)
        return self.listen(DoubleHandler, double=self)

    def stop(self):
        self.plane.stop()
        super().stop()

    # --- for tests ---

    @property
    def knobs(self):
        return self.plane.knobs

    def make_bucket(self, name, region=None):
        """A bucket that the service's role may use."""
        self.s3.make_bucket(name, users=[SERVICE[0]])
        if region:
            self.bucket_regions[name] = region

    def make_friends(self):
        self.quota_spellings = ("plain",)  # quotarows.named()
        return Friends(self.mint, quota_rows=lambda: quota_rows(
            self.knobs, modelfacts.MODELS, self.quota_spellings))

    def add_role(self, arn, reaches_s3=True, **more):
        self.friends.add_role(arn, **more)
        if reaches_s3:
            self.roles[arn] = SERVICE[1:]

    def s3_of(self, role):
        key = self.roles.get(role)
        return self.s3.client(*key) if key else None

    def mint(self, arn, seconds):
        """A session's credentials, which the S3 server takes too."""
        key = temporary(self.keyring, arn, seconds)
        self.s3.add_key(OWNER, key.access_key, key.secret_key)
        return key

    @contextmanager
    def setting(self, **values):
        """Knobs (of jobs created meanwhile) or attributes of the plane, for a while."""
        before = []
        for name, value in values.items():
            owner = next(o for o in (self.plane.knobs, self.plane, self.runtime, self.friends, self)
                         if hasattr(o, name))
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
        try:
            yield self
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)

    def fault(self, operation, kind, count=1, skip=0, value=None):
        rule = FaultRule(operation, kind, count, skip, value)
        with self.lock:
            self.faults.append(rule)
        return rule

    def clear_faults(self):
        with self.lock:
            self.faults.clear()

    def reset(self):
        """As new: no jobs (those that run are dropped), no faults, knobs as they begin."""
        self.clear_faults()
        with self.lock:
            self.requests.clear()
        self.plane.forget_all()
        self.plane.knobs.__init__()
        self.runtime = Runtime(self.plane)
        self.bucket_regions.clear()
        self.friends = self.make_friends()
        self.roles.clear()
        self.add_role(ROLE)
        self.clock_offset, self.error_style, self.watch = 0.0, "header", None

    def jobs(self, part=""):
        """Those with part in their names, oldest first."""
        with self.plane.lock:
            return [j for j in self.plane.jobs.values() if part in j.name]

    def seen(self, operation=None):
        with self.lock:
            return [r for r in self.requests if operation in (None, r.operation)]

    def plant(self, count, status="Completed", bucket="bucket-1", prefix="planted"):
        """Jobs that exist already and never change, for long lists."""
        found = modelfacts.resolve("amazon.nova-micro-v1:0", self.regions[0], OWNER)
        jobs = []
        with self.plane.lock:
            for i in range(count):
                body = {"jobName": f"{prefix}-{i:06d}", "roleArn": ROLE,
                        "modelId": "amazon.nova-micro-v1:0",
                        "inputDataConfig": {"s3InputDataConfig": {
                            "s3Uri": f"s3://{bucket}/{prefix}/{i}/in.jsonl"}},
                        "outputDataConfig": {"s3OutputDataConfig": {
                            "s3Uri": f"s3://{bucket}/{prefix}/{i}/out/"}}}
                job = self.plane.add_locked(self.regions[0], body, found, start=False)
                job.status = status
                job.submitted = time.time() - 86400 + i
                jobs.append(job)
        return jobs

    def variables(self, s3_url=None):
        """The environment of a program that is to use all this."""
        return {**self.s3.variables(), "AWS_ENDPOINT_URL": self.url,
                "AWS_ENDPOINT_URL_BEDROCK": self.url,
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url, "AWS_ENDPOINT_URL_STS": self.url,
                "AWS_ENDPOINT_URL_IAM": self.url, "AWS_ENDPOINT_URL_SSO": self.url,
                "AWS_ENDPOINT_URL_SSO_OIDC": self.url,
                "AWS_ENDPOINT_URL_S3": s3_url or self.s3.endpoint}

    # --- a request ---

    def take_fault(self, operation):
        with self.lock:
            for rule in self.faults:
                if rule.operation not in ("*", operation):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.count == 0:
                    continue
                rule.count -= 1 if rule.count > 0 else 0
                return rule
        return None

    def serve(self, request):
        """(answer, how it is to be sent: None, "lost" or "cut")."""
        plain = self.friends.serve_plain(request)
        if plain is not None:
            request.operation = request.path
            return plain, None
        service, call = self.find_call(request)
        rule = self.take_fault(request.operation)
        if rule and rule.kind == "reset":
            raise Broken()
        if rule and rule.kind == "slow":
            time.sleep(rule.value or 1)
        refusal = self.faulty(rule, service)
        answer = refusal or self.checked(request, service, call)
        if rule and rule.kind == "garbage" and not refusal:
            answer = Answer(200, b"<html>all is well", kind="text/html")
        return answer, rule.kind if rule and rule.kind in ("lost", "cut") else None

    def find_call(self, request):
        if request.path in ("/", "") and request.method == "POST":
            if "x-amz-target" in request.headers:
                request.operation = request.headers["x-amz-target"].partition(".")[2]
                return "servicequotas", lambda: self.friends.serve_quotas(request)
            form = form_of(request.body)
            request.operation = form.get("Action", "?")
            service = "sts" if form.get("Version") == "2011-06-15" else "iam"
            return service, lambda: self.friends.serve_query(request, form)
        found = route_runtime(request.method, request.path)
        if found:
            request.operation = found[0]
            return "bedrock", lambda: self.runtime.serve(request, *found)
        found = route(request.method, request.path)
        if found is None:
            return "bedrock", None
        request.operation = found[0]
        return "bedrock", lambda: self.plane.serve(request, *found)

    def faulty(self, rule, service):
        known = {"throttle": (429, "ThrottlingException", "Too many requests"),
                 "throttle400": (400, "ThrottlingException", "Rate exceeded"),
                 "500": (500, "InternalServerException", "Something went wrong inside"),
                 "503": (503, "ServiceUnavailableException", "Service is unavailable"),
                 "expired": (403, "ExpiredTokenException",
                             "The security token included in the request is expired")}
        if rule is None or rule.kind not in (*known, "error"):
            return None
        what = rule.value if rule.kind == "error" else known[rule.kind]
        if service in ("sts", "iam"):
            return xml_error(what[0], what[1].replace("Exception", ""), what[2])
        return error_answer(ApiError(*what), self.error_style)

    def checked(self, request, service, call):
        try:
            if request.operation != "AssumeRoleWithWebIdentity":
                request.key, request.region = verify(
                    self.keyring, request.method, request.target, request.headers, request.body,
                    service, () if service == "iam" else self.regions, self.clock_offset)
            if request.region is None and service == "bedrock":
                request.region = self.regions[0]  # bearer: an endpoint is of one region
            if call is None:
                raise ApiError(404, "UnknownOperationException", "")
            return call()
        except Refused as e:
            status, name, xml_name = REFUSALS[e.kind]
            if service in ("sts", "iam"):
                return xml_error(status, xml_name, str(e))
            return error_answer(ApiError(status, name, str(e)), self.error_style)
        except ApiError as e:
            return error_answer(e, self.error_style)


class DoubleHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    double = None

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        size = self.headers.get("Content-Length")
        return self.rfile.read(int(size)) if size and size.isdigit() else b""

    def handle_any(self):
        double = self.double
        body = self.read_body()
        headers = {k.lower(): " ".join(v.split()) for k, v in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        if request.path.startswith("/-/"):
            return self.send_answer(serve_admin(double, request), None)
        watch = double.watch or (lambda *_: None)
        watch("bedrock", "before", request)
        try:
            answer, how = double.serve(request)
        except Broken:
            answer, how = Answer(0), "lost"
        watch("bedrock", "after", request)
        seen = Seen(request.operation, request.method, request.target, answer.status,
                    getattr(request.key, "access_key", None), request.region, time.time(),
                    len(body), 0, headers, body)
        with double.lock:
            double.requests.append(seen)
        seen.bytes_out = self.send_answer(answer, how)

    def send_answer(self, answer, how):
        body = answer.body
        if not isinstance(body, bytes):
            body = json.dumps({} if body is None else body).encode()
        if how == "lost":
            break_off(self)
            return 0
        now = time.time() + self.double.clock_offset
        self.send_response_only(answer.status)
        for name, value in {"Date": formatdate(now, usegmt=True), "Content-Type": answer.kind,
                            "Content-Length": str(len(body)),
                            "x-amzn-RequestId": str(uuid.UUID(int=random.getrandbits(128))),
                            **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if how == "cut":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            break_off(self)
            return len(body) // 2
        self.wfile.write(body)
        return len(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any


LIMITS = {"min-records": "min_records", "max-records": "max_records_job",
          "max-records-per-file": "max_records_file", "max-bytes": "max_job_bytes",
          "max-bytes-per-file": "max_file_bytes", "max-jobs": "max_jobs"}


def main():
    from s3faults import S3Faults

    parser = argparse.ArgumentParser(description="a double of Amazon Bedrock batch inference")
    parser.add_argument("--bucket", action="append", default=[], help="make this bucket")
    for flag, knob in LIMITS.items():
        parser.add_argument("--" + flag, dest=knob, type=int, default=getattr(Knobs, knob),
                            help="what the service takes, and Service Quotas says")
    parser.add_argument("--slow", type=float, default=1, help="states last so many times longer")
    parser.add_argument("command", nargs="*", help="after --: run this, then end")
    options = parser.parse_args()
    reason = missing()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with S3Server() as s3, Double(s3) as double, S3Faults(s3, double) as front:
        for knob in LIMITS.values():
            setattr(double.knobs, knob, getattr(options, knob))
        for state in double.knobs.durations:
            double.knobs.durations[state] *= options.slow
        for bucket in options.bucket:
            double.make_bucket(bucket)
        variables = {**double.variables(front.url), "BATCHFS_DOUBLE": double.url,
                     "BATCHFS_ROLE": ROLE}
        return serve_shell(options.command, variables)


if __name__ == "__main__":
    sys.exit(main())
