"""Signatures checked by botocore's signer, which shares nothing with the client under test.

The canonical request is made from the raw request target and the headers as they came; so
the path must have been encoded twice in it for all services but S3.
"""

import hashlib
import hmac
import re
import threading
import time
import uuid
from calendar import timegm
from dataclasses import dataclass, field

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WINDOW_S = 300
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;_.-]+), ?Signature=([0-9a-f]{64})")


class Refused(Exception):
    """A request that does not get in; kind is one of the words below."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind  # missing, incomplete, unknown, skewed, signature, expired, scope


@dataclass
class Key:
    access_key: str
    secret_key: str
    token: str = None
    expires: float = None  # wall time
    arn: str = "arn:aws:iam::111122223333:user/dev"
    bearer: bool = False


@dataclass
class Keyring:
    """All credentials there are.  Threads: any."""

    keys: dict = field(default_factory=dict)
    bearers: dict = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key):
        with self.lock:
            self.keys[key.access_key] = key
        return key

    def add_bearer(self, text, arn="arn:aws:iam::111122223333:user/bearer"):
        with self.lock:
            self.bearers[text] = Key("", "", arn=arn, bearer=True)

    def find(self, access_key):
        with self.lock:
            return self.keys.get(access_key)

    def expire(self, access_key=None):
        """Ends the life of one key, or of all that have a token, as of now."""
        with self.lock:
            for key in self.keys.values():
                if key.access_key == access_key or (access_key is None and key.token):
                    key.expires = 0

    def secrets(self):
        """All that must never be seen anywhere."""
        with self.lock:
            found = [k.secret_key for k in self.keys.values()]
            found += [k.token for k in self.keys.values() if k.token]
            return found + list(self.bearers)


def temporary(keyring, arn, seconds, secret=None):
    """A new session's key."""
    return keyring.add(Key("ASIA" + uuid.uuid4().hex[:16].upper(), secret or uuid.uuid4().hex,
                           "FwoG/" + uuid.uuid4().hex * 3 + "+=", time.time() + seconds, arn))


def check_scope(headers, signed, parts, service, regions):
    access_key, day, region, scope_service = parts
    stamp = headers.get("x-amz-date", "")
    if "host" not in signed:
        raise Refused("incomplete", "Host must be signed")
    unsigned = [h for h in headers if h.startswith("x-amz-") and h not in signed]
    if unsigned:
        raise Refused("incomplete", f"There were headers present that were not signed: {unsigned}")
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or stamp[:8] != day:
        raise Refused("incomplete", "Date in Credential scope does not match X-Amz-Date")
    if scope_service != service:
        raise Refused("scope", f"Credential should be scoped to correct service: '{service}'.")
    if regions and region not in regions:
        raise Refused("scope", "Credential should be scoped to a valid region.")
    return stamp


def check_key(keyring, access_key, headers, now):
    key = keyring.find(access_key)
    if key is None:
        raise Refused("unknown", "The security token included in the request is invalid.")
    if headers.get("x-amz-security-token") != key.token:
        raise Refused("unknown", "The security token included in the request is invalid.")
    if key.expires is not None and key.expires <= now:
        raise Refused("expired", "The security token included in the request is expired")
    return key


def signature(key, method, target, headers, signed, stamp, region, service, body):
    request = AWSRequest(method, "http://" + headers["host"] + target, data=body)
    for name in signed:
        if name not in headers:
            raise Refused("signature", f"the signed header {name} is not there")
        request.headers[name] = headers[name]
    request.context["timestamp"] = stamp
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(
        Credentials(key.access_key, key.secret_key), service, region)
    signer.headers_to_sign = lambda r: r.headers  # what was signed, all of it, and no more
    canonical = signer.canonical_request(request)
    return signer.signature(signer.string_to_sign(request, canonical), request), canonical


def verify(keyring, method, target, headers, body, service, regions=(), clock_offset=0.0):
    """The key and region of a request that is signed as it should be; or Refused.

    headers: a dict, names in lower case.  body: bytes, or None where it is not to be hashed."""
    now = time.time() + clock_offset
    text = headers.get("authorization", "")
    if text.startswith("Bearer ") and service == "bedrock":
        with keyring.lock:
            key = keyring.bearers.get(text[7:])
        if key is None:
            raise Refused("unknown", "The API key is not valid.")
        return key, None
    if not text:
        raise Refused("missing", "Missing Authentication Token")
    found = AUTHORIZATION.fullmatch(text)
    if not found:
        raise Refused("incomplete", "Authorization header is not as it should be")
    *parts, signed, given = found.groups()
    signed = signed.split(";")
    if signed != sorted(signed):
        raise Refused("incomplete", "SignedHeaders are not sorted")
    stamp = check_scope(headers, signed, parts, service, regions)
    when = timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    if abs(when - now) > (900 if service == "s3" else WINDOW_S):
        raise Refused("skewed", f"Signature expired: {stamp} is not within 5 minutes of "
                      + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
    key = check_key(keyring, parts[0], headers, time.time())
    hashed = headers.get("x-amz-content-sha256")
    if hashed and body is not None and re.fullmatch("[0-9a-f]{64}", hashed):
        if hashlib.sha256(body).hexdigest() != hashed:
            raise Refused("signature", "x-amz-content-sha256 is not that of the body")
    right, canonical = signature(key, method, target, headers, signed, stamp, parts[2], service,
                                 body or b"")
    if not hmac.compare_digest(right, given):
        raise Refused("signature", "The request signature we calculated does not match the "
                      "signature you provided. The canonical request should have been\n"
                      + canonical)
    return key, parts[2]
