"""What CreateModelInvocationJob and its sisters demand of their fields."""

import re

S3_URI = (r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]"
          r"(?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?")
ID = "[a-z0-9-]{1,63}"
MODEL = (r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:"
         r"(([0-9]{12}:custom-model/" + ID + r"[.]" + ID + r"(/[a-z0-9]{12})?)"
         r"|(:foundation-model/" + ID + r"[.]" + ID + r"([.]?" + ID + r")([:]" + ID + r"){0,2})"
         r"|([0-9]{12}:(inference-profile|application-inference-profile)/[a-zA-Z0-9-:.]+))"
         r"|(" + ID + r"[.]" + ID + r"([.]?" + ID + r")([:]" + ID + r"){0,2})"
         r"|(([0-9a-zA-Z][_-]?)+)")
ROLE = r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+"
NAME = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"
TOKEN = r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}"
KMS = (r"(arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:[0-9]{12}:(key/[a-zA-Z0-9-]{36}"
       r"|alias/[a-zA-Z0-9-_/]+))|([a-zA-Z0-9-]{36})|(alias/[a-zA-Z0-9-_/]+)")
TAG = r"[a-zA-Z0-9\s._:/=+@-]*"
ACCOUNT = r"[0-9]{12}"
VPC_ID = r"[-0-9a-zA-Z]+"
STATES = ("Submitted", "InProgress", "Completed", "Failed", "Stopping", "Stopped",
          "PartiallyCompleted", "Expired", "Validating", "Scheduled")
LIVE = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")


class Fault(Exception):
    """What makes a request a ValidationException, in the service's words."""


def text(body, name, least, most, pattern=None, needed=True):
    """body["a.b.c"], checked; None where it is absent and may be."""
    value = body
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        if needed:
            raise Fault(f"1 validation error detected: Value null at '{name}' failed to satisfy "
                        "constraint: Member must not be null")
        return None
    if not isinstance(value, str):
        raise Fault(f"'{name}' must be a string")
    why = None
    if len(value) < least:
        why = f"Member must have length greater than or equal to {least}"
    elif len(value) > most:
        why = f"Member must have length less than or equal to {most}"
    elif pattern and not re.fullmatch(pattern, value):
        why = f"Member must satisfy regular expression pattern: {pattern}"
    if why:
        raise Fault(f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy "
                    f"constraint: {why}")
    return value


def choice(body, name, values):
    value = text(body, name, 1, 64, needed=False)
    if value is not None and value not in values:
        raise Fault(f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy "
                    f"constraint: Member must satisfy enum value set: [{', '.join(values)}]")
    return value


def check_tags(tags, name="tags"):
    if tags is None:
        return []
    if not isinstance(tags, list) or len(tags) > 200:
        raise Fault(f"'{name}' must be a list of at most 200")
    for tag in tags:
        text(tag, "key", 1, 128, TAG)
        text(tag, "value", 0, 256, TAG)
    return tags


def check_items(vpc, name, most):
    items = vpc.get(name)
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        raise Fault(f"'vpcConfig.{name}' must be a list of 1 to {most}")
    for item in items:
        text({name: item}, name, 0, 32, VPC_ID)


KNOWN = {
    "": {"jobName", "roleArn", "modelId", "inputDataConfig", "outputDataConfig", "tags",
         "clientRequestToken", "timeoutDurationInHours", "modelInvocationType", "vpcConfig"},
    "inputDataConfig": {"s3InputDataConfig"},
    "inputDataConfig.s3InputDataConfig": {"s3Uri", "s3InputFormat", "s3BucketOwner"},
    "outputDataConfig": {"s3OutputDataConfig"},
    "outputDataConfig.s3OutputDataConfig": {"s3Uri", "s3EncryptionKeyId", "s3BucketOwner"},
    "vpcConfig": {"subnetIds", "securityGroupIds"},
}


def unknown_members(body):
    """Members the service would silently drop: somebody's misspelling."""
    found = []
    for place, names in KNOWN.items():
        part = body
        for word in place.split(".") if place else ():
            part = part.get(word) if isinstance(part, dict) else None
        if isinstance(part, dict):
            found += [f"{place}.{n}".lstrip(".") for n in part if n not in names]
    return found


def check_create(body):
    """Every field of a create, or Fault with the first that is wrong."""
    if not isinstance(body, dict):
        raise Fault("the body is not a JSON object")
    text(body, "jobName", 1, 63, NAME)
    text(body, "roleArn", 0, 2048, ROLE)
    text(body, "modelId", 1, 2048, MODEL)
    text(body, "inputDataConfig.s3InputDataConfig.s3Uri", 1, 1024, S3_URI)
    choice(body, "inputDataConfig.s3InputDataConfig.s3InputFormat", ["JSONL"])
    text(body, "inputDataConfig.s3InputDataConfig.s3BucketOwner", 12, 12, ACCOUNT, False)
    text(body, "outputDataConfig.s3OutputDataConfig.s3Uri", 1, 1024, S3_URI)
    text(body, "outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", 1, 2048, KMS, False)
    text(body, "outputDataConfig.s3OutputDataConfig.s3BucketOwner", 12, 12, ACCOUNT, False)
    text(body, "clientRequestToken", 1, 256, TOKEN, False)
    hours = body.get("timeoutDurationInHours")
    if hours is not None and (type(hours) is not int or not 24 <= hours <= 168):
        raise Fault(f"1 validation error detected: Value '{hours}' at 'timeoutDurationInHours' "
                    "failed to satisfy constraint: Member must be between 24 and 168")
    choice(body, "modelInvocationType", ["InvokeModel", "Converse"])
    if body.get("vpcConfig") is not None:
        check_items(body["vpcConfig"], "subnetIds", 16)
        check_items(body["vpcConfig"], "securityGroupIds", 5)
    if len(check_tags(body.get("tags"))) > 50:
        raise Fault("a resource may have at most 50 tags")


def split_uri(uri):
    """("bucket", "key or prefix")."""
    bucket, _, key = uri[len("s3://"):].partition("/")
    return bucket, key
