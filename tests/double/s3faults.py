"""A reverse proxy before the S3 server: it adds what that lacks, counts, and breaks things.

Adds: buckets in other regions (301 with x-amz-bucket-region, or AuthorizationHeaderMalformed,
until a request is signed for the right one), x-amz-checksum-crc32 checked (BadDigest), kept
and told, x-amz-expected-bucket-owner, session tokens and their end.

The Host header goes through as it came, so that signatures stay good.

	front = S3Faults(s3, double).start()
	front.fault("CompleteMultipartUpload", "lying")
	front.fault("GetObject", "cut", count=3, value=1000)
	front.totals()["PutObject"].count
"""

import base64
import http.client
import re
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote

from loopback import LoopbackService, break_off
from s3server import OWNER
from sigcheck import AUTHORIZATION

CHUNK = 256 * 1024
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}

# kind -> status, code, message; answered without asking the server.
SIMPLE = {
    "slowdown": (503, "SlowDown", "Please reduce your request rate."),
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "ServiceUnavailable", "Please try again."),
    "timeout": (400, "RequestTimeout", "Your socket connection to the server was not read from "
                "or written to within the timeout period."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "baddigest": (400, "BadDigest", "The CRC32 you specified did not match what was received."),
    "skewed": (403, "RequestTimeTooSkewed", "The difference between the request time and the "
               "current time is too large."),
}


@dataclass
class S3Rule:
    """What becomes of the next requests for an operation ("*": any).

    kinds: those of SIMPLE;  reset: breaks off without asking the server;  lost: asks it,
    and breaks off;  lying: a 200 with an error inside, the server not asked;  slow: after
    value seconds;  cut: the body breaks off after value bytes;  flip: a byte of the body is
    another;  rewrite: before it is asked, the object is written anew, with the same bytes
    and another ETag."""

    operation: str
    kind: str
    count: int = 1  # how often; -1: until cleared
    skip: int = 0
    value: object = None
    key: str = ""  # only keys that hold this


@dataclass
class Total:
    count: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    statuses: dict = field(default_factory=dict)


class S3Faults(LoopbackService):
    """double: for keys and regions, or None."""

    def __init__(self, s3, double=None):
        self.s3, self.double = s3, double
        self.bucket_regions = double.bucket_regions if double else {}
        self.redirect = "301"  # or "400": how a wrong region is told
        self.rules, self.log = [], []  # log: (operation, bucket, key, status)
        self.sums = {}  # (bucket, key) -> x-amz-checksum-crc32
        self.parts = {}  # (upload id, number) -> x-amz-checksum-crc32
        self.counted, self.lock = {}, threading.Lock()
        self.at_once = self.most_at_once = 0
        self.watch = None  # as Double.watch, with "s3" and the handler

    def start(self):
        return self.listen(FrontHandler, front=self)

    def fault(self, operation, kind, count=1, skip=0, value=None, key=""):
        rule = S3Rule(operation, kind, count, skip, value, key)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        """No faults, nothing counted."""
        with self.lock:
            self.rules.clear()
            self.counted.clear()
            self.log.clear()
            self.most_at_once = 0
        self.watch, self.redirect = None, "301"

    def totals(self):
        with self.lock:
            return dict(self.counted)

    def take(self, operation, key):
        with self.lock:
            for rule in self.rules:
                if rule.operation not in ("*", operation) or rule.key not in key:
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                elif rule.count != 0:
                    rule.count -= 1 if rule.count > 0 else 0
                    return rule
        return None

    def count(self, operation, bucket, key, status, bytes_in, bytes_out):
        with self.lock:
            total = self.counted.setdefault(operation, Total())
            total.count += 1
            total.bytes_in += bytes_in
            total.bytes_out += bytes_out
            total.statuses[status] = total.statuses.get(status, 0) + 1
            self.log.append((operation, bucket, key, status))

    def rewrite(self, bucket, key):
        """The same bytes, as a multipart upload: its ETag is another."""
        s3 = self.s3.client()
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        tag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1,
                             Body=data)["ETag"]
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={
            "Parts": [{"ETag": tag, "PartNumber": 1}]})


def operation_of(method, key, query):
    if not key:
        if method == "HEAD":
            return "HeadBucket"
        return {"GET": "ListObjectsV2" if "list-type" in query else "GetBucket",
                "PUT": "CreateBucket", "DELETE": "DeleteBucket"}.get(method, "Bucket")
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else (
            "CompleteMultipartUpload" if "uploadId" in query else "PostObject")
    if "uploadId" in query:
        return {"PUT": "UploadPart", "GET": "ListParts",
                "DELETE": "AbortMultipartUpload"}.get(method, "Upload")
    return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject",
            "DELETE": "DeleteObject"}.get(method, method)


def crc32(data):
    return base64.b64encode(struct.pack(">I", zlib.crc32(data))).decode()


class FrontHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = CHUNK
    front = None
    upstream = None

    def log_message(self, *_):
        pass

    def finish(self):
        if self.upstream:
            self.upstream.close()
        try:
            super().finish()
        except OSError:
            pass

    def handle_any(self):
        with self.front.lock:
            self.front.at_once += 1
            self.front.most_at_once = max(self.front.most_at_once, self.front.at_once)
        watch = self.front.watch or (lambda *_: None)
        watch("s3", "before", self)
        try:
            self.answer()
            watch("s3", "after", self)
        finally:
            with self.front.lock:
                self.front.at_once -= 1

    def answer(self):
        path, _, query = self.path.partition("?")
        bucket, _, key = path[1:].partition("/")
        self.bucket, self.key = unquote(bucket), unquote(key)
        self.query = parse_qs(query, keep_blank_values=True)
        self.operation = operation_of(self.command, self.key, self.query)
        self.region = self.front.bucket_regions.get(self.bucket, self.front.s3.region)
        self.body = b""
        rule = self.front.take(self.operation, self.key)
        kind = rule.kind if rule else None
        if kind == "slow":
            time.sleep(rule.value or 1)
        refusal = self.refusal(kind)
        if refusal and self.headers.get("Expect"):
            self.close_connection = True  # the body has not been sent, and will not be
            return self.refuse(*refusal)
        self.read_body()
        refusal = refusal or self.check_sums()
        if refusal:
            return self.refuse(*refusal)
        if kind == "reset":
            return self.break_off()
        if kind == "lying":
            return self.refuse(200, "InternalError", "We encountered an internal error.")
        if kind == "rewrite":
            self.front.rewrite(self.bucket, self.key)
        return self.forward(kind, rule.value if rule else None)

    # --- what is refused here ---

    def refusal(self, kind):
        """(status, code, message, more XML, headers) or None."""
        if kind in SIMPLE:
            return SIMPLE[kind]
        signed = AUTHORIZATION.fullmatch(self.headers.get("Authorization", ""))
        if signed and self.front.double:
            key = self.front.double.keyring.find(signed[1])
            token = self.headers.get("x-amz-security-token")
            if key and key.token != token:
                return 400, "InvalidToken", "The provided token is malformed or otherwise invalid."
            if key and key.expires is not None and key.expires <= time.time():
                return SIMPLE["expired"]
        if signed and signed[3] != self.region:
            if self.front.redirect == "400":
                return (400, "AuthorizationHeaderMalformed",
                        f"The authorization header is malformed; the region '{signed[3]}' is "
                        f"wrong; expecting '{self.region}'", f"<Region>{self.region}</Region>")
            return (301, "PermanentRedirect",
                    "The bucket you are attempting to access must be addressed using the "
                    "specified endpoint.",
                    f"<Endpoint>{self.bucket}.s3.{self.region}.amazonaws.com</Endpoint>"
                    f"<Bucket>{self.bucket}</Bucket>")
        if self.headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
            return SIMPLE["denied"]
        return None

    def check_sums(self):
        given = self.headers.get("x-amz-checksum-crc32")
        if self.headers.get("x-amz-sdk-checksum-algorithm") == "CRC32" and not given \
                and self.operation in ("PutObject", "UploadPart") \
                and "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return 400, "InvalidRequest", "x-amz-sdk-checksum-algorithm without its checksum"
        if self.operation == "CompleteMultipartUpload":
            return self.check_parts()
        if not given:
            return None
        if given != crc32(self.body):
            return SIMPLE["baddigest"]
        with self.front.lock:
            if self.operation == "UploadPart":
                where = self.query["uploadId"][0], int(self.query["partNumber"][0])
                self.front.parts[where] = given
            else:
                self.front.sums[self.bucket, self.key] = given
        return None

    def check_parts(self):
        upload = self.query["uploadId"][0]
        for part in re.findall(r"<Part>(.*?)</Part>", self.body.decode("utf-8", "replace"), re.S):
            number = re.search(r"<PartNumber>(\d+)</PartNumber>", part)
            told = re.search(r"<ChecksumCRC32>([^<]+)</ChecksumCRC32>", part)
            kept = self.front.parts.get((upload, int(number[1]) if number else 0))
            if told and kept != told[1]:
                return 400, "InvalidPart", "One or more of the specified parts could not be found"
        return None

    def refuse(self, status, code, message, more=""):
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
                f"<Message>{message}</Message>{more}<RequestId>tx1</RequestId>"
                "<HostId>h</HostId></Error>").encode()
        if self.command == "HEAD":
            text = b""
        self.send_response_only(status)
        for name, value in (("Date", self.date_time_string()), ("x-amz-request-id", "tx1"),
                            ("x-amz-bucket-region", self.region),
                            ("Content-Type", "application/xml"),
                            ("Content-Length", str(len(text)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.front.count(self.operation, self.bucket, self.key, status, len(self.body), len(text))

    def break_off(self, status=0):
        self.front.count(self.operation, self.bucket, self.key, status, len(self.body), 0)
        break_off(self)

    # --- what goes through ---

    def read_body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    break
            self.body = b"".join(chunks)
        else:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def ask(self):
        """The server's answer; a kept connection may have died meanwhile."""
        for fresh in (False, True):
            if self.upstream is None or fresh:
                self.upstream = http.client.HTTPConnection("127.0.0.1", self.front.s3.port,
                                                           timeout=60)
            try:
                self.upstream.putrequest(self.command, self.path, skip_host=True,
                                         skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in HOP and name.lower() != "content-length":
                        self.upstream.putheader(name, value)
                if self.body or self.command in ("PUT", "POST"):
                    self.upstream.putheader("Content-Length", str(len(self.body)))
                self.upstream.endheaders(self.body or None)
                return self.upstream.getresponse()
            except (OSError, http.client.HTTPException):
                if fresh:
                    raise
        raise AssertionError

    def forward(self, kind, value):
        try:
            answer = self.ask()
        except (OSError, http.client.HTTPException):
            return self.refuse(*SIMPLE["503"])
        if self.operation == "CompleteMultipartUpload" and answer.status == 200:
            with self.front.lock:  # that of the whole, or none
                self.front.sums[self.bucket, self.key] = \
                    self.headers.get("x-amz-checksum-crc32")
        if kind == "lost":
            answer.read()
            return self.break_off(answer.status)
        self.send_response_only(answer.status)
        sized = False
        for name, header in answer.getheaders():
            if name.lower() in HOP:
                continue
            sized = sized or name.lower() == "content-length"
            self.send_header(name, header)
        self.send_header("x-amz-bucket-region", self.region)
        self.tell_sum(answer.status)
        chunked = not sized and answer.status not in (204, 304) and self.command != "HEAD"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = self.copy_body(answer, chunked, kind, value)
        if sent is not None:
            self.front.count(self.operation, self.bucket, self.key, answer.status,
                             len(self.body), sent)
        return None

    def tell_sum(self, status):
        known = None
        if self.operation == "UploadPart" or (self.operation == "PutObject" and status == 200):
            known = self.headers.get("x-amz-checksum-crc32")
        elif self.operation in ("GetObject", "HeadObject") and status == 200 \
                and self.headers.get("x-amz-checksum-mode"):
            known = self.front.sums.get((self.bucket, self.key))
        if known:
            self.send_header("x-amz-checksum-crc32", known)

    def copy_body(self, answer, chunked, kind, value):
        """How many bytes went; None where the connection was broken off."""
        sent = 0
        while True:
            data = answer.read(CHUNK)
            if not data:
                break
            if kind == "flip" and sent == 0:
                data = bytes([data[0] ^ 1]) + data[1:]
            if kind == "cut" and sent + len(data) > (value or 0):
                data = data[:max((value or 0) - sent, 0)]
                self.wfile.write(data)
                self.break_off(answer.status)
                return None
            sent += len(data)
            if chunked:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            self.wfile.write(data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        return sent

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any
