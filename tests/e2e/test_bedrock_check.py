"""batchfs --check and --print-iam: half a minute tells whether a job would work."""

import json
import re
import time

import pytest

from bedrockkit import CLAUDE, ROLE

FALSE_ROLE = "arn:aws:iam::111122223333:role/RootTrust"


def check(mount, *words):
    began = time.monotonic()
    done = mount.once("--check", *words)
    assert time.monotonic() - began < 30
    lines = [row for row in done.stdout.splitlines() if row[:1] in "✓✗?"]
    return done, lines


def crosses(lines):
    return [row for row in lines if row.startswith("✗")]


def test_all_is_well(new_bedrock, cloud):
    mount = new_bedrock({"model": None})
    before = cloud.keys()
    done, lines = check(mount)
    assert done.returncode == 0 and not crosses(lines), done.stdout + done.stderr
    assert "user/dev" in done.stdout and "us-east-1" in done.stdout
    assert cloud.keys() == before, "it leaves nothing behind"
    assert cloud.double.jobs() == []


def broken_bucket(mount, cloud):
    mount.source = "bedrock:no-such-bucket/x"


def broken_keys(mount, cloud):
    mount.variables["AWS_SECRET_ACCESS_KEY"] = "wrong"


def broken_none(mount, cloud):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        mount.variables.pop(name)


def broken_trust(mount, cloud):
    from friends import ROOT_TRUST

    cloud.double.add_role(FALSE_ROLE, trust=ROOT_TRUST)
    mount.options["role"] = FALSE_ROLE


def broken_role(mount, cloud):
    mount.options["role"] = ROLE + "NotThere"


def broken_pass(mount, cloud):
    cloud.double.friends.simulated["iam:PassRole"] = "implicitDeny"


def broken_region(mount, cloud):
    cloud.double.bucket_regions["batch-bucket"] = "eu-west-1"


def broken_write(mount, cloud):
    cloud.front.fault("PutObject", "denied", -1)


@pytest.mark.parametrize("broken, word", [
    (broken_bucket, "✗ bucket: .*no-such-bucket"),
    (broken_keys, "✗ .*([Ss]ecret|[Ss]ignature)"), (broken_none, "✗ credentials"),
    (broken_trust, "✗ role: it trusts only arn:aws:iam::111122223333:root"),
    (broken_role, "✗ role: .*NotThere"), (broken_pass, "✗ may pass .*iam:PassRole"),
    (broken_region, "✗ bucket: .*eu-west-1"), (broken_write, "✗ objects: .*s3:PutObject"),
], ids=lambda v: v.__name__ if callable(v) else None)
def test_what_is_wrong_has_a_cross_and_its_cure(new_bedrock, cloud, broken, word):
    mount = new_bedrock()
    broken(mount, cloud)
    done, lines = check(mount)
    assert done.returncode != 0
    assert crosses(lines), done.stdout + done.stderr
    assert re.search(word, done.stdout), done.stdout


def test_what_may_not_be_asked_is_a_question_mark(new_bedrock, cloud):
    cloud.double.friends.iam_denied |= {"SimulatePrincipalPolicy", "GetRole"}
    done, lines = check(new_bedrock())
    assert done.returncode == 0, done.stdout
    assert any(row.startswith("?") for row in lines), done.stdout


def test_print_iam(new_bedrock, cloud):
    done = new_bedrock().once("--print-iam")
    assert done.returncode == 0, done.stderr
    documents, decoder, at = [], json.JSONDecoder(), 0
    while (at := done.stdout.find("{", at)) >= 0:
        document, at = decoder.raw_decode(done.stdout, at)
        documents.append(document)
    assert len(documents) == 3
    text = json.dumps(documents)
    for word in ("iam:PassRole", ROLE, "bedrock.amazonaws.com", "arn:aws:s3:::batch-bucket",
                 "bedrock:CreateModelInvocationJob", "bedrock:InvokeModel"):
        assert word in text, word


def test_the_models_are_listed(new_bedrock):
    mount = new_bedrock().start()
    text = (mount.dir / ".batchfs" / "models").read_text()
    assert "anthropic.claude" in text and (mount.dir / ".batchfs" / "source").read_text().startswith(
        "bedrock:"), text
    assert CLAUDE
