"""Whose credentials, keys, buckets and models: each way in makes one job and its results."""

import hashlib
import json
import subprocess
import time

import pytest

from bedrockkit import BUCKET, ROLE, check_complete
from inputs import records
from mountkit import sh, until
from webproxy import Proxy

DATA = records(4)
KMS_KEY = "11111111-2222-3333-4444-555555555555"
S3_DOMAIN = "s3.batch.example"  # as the server knows itself (s3server.py)
APPLICATION = ("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/"
               "ab12cd34ef56")


def config_file(mount, text):
    file = mount.base / "aws-config"
    file.write_text(text)
    mount.variables["AWS_CONFIG_FILE"] = str(file)


def with_profile(mount, cloud):
    keys = mount.base / "aws-credentials"
    keys.write_text(f"[dev]\naws_access_key_id = {cloud.s3.access_key}\n"
                    f"aws_secret_access_key = {cloud.s3.secret_key}\n")
    mount.variables["AWS_SHARED_CREDENTIALS_FILE"] = str(keys)
    mount.options["profile"] = "dev"
    return "user/dev"


def with_role(mount, cloud):
    with_profile(mount, cloud)
    cloud.double.friends.add_role("arn:aws:iam::111122223333:role/Dev", external_id="x1")
    config_file(mount, "[profile a]\nrole_arn = arn:aws:iam::111122223333:role/Dev\n"
                "source_profile = dev\nexternal_id = x1\n")
    mount.options["profile"] = "a"
    return "assumed-role/Dev"


def with_web_identity(mount, cloud):
    token = mount.base / "token"
    token.write_text("web-token-1\n")
    cloud.double.friends.web_tokens.add("web-token-1")
    mount.variables.update({"AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
                            "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/Web"})
    return "assumed-role/Web"


def with_sso(mount, cloud):
    """The login is old; the refresh token makes it new."""
    cloud.double.friends.refresh_tokens.add("refresh-1")
    config_file(mount, "[default]\nsso_session = corp\nsso_account_id = 111122223333\n"
                "sso_role_name = Sso\n[sso-session corp]\nsso_region = us-east-1\n"
                "sso_start_url = https://corp.example/start\n")
    cache = mount.base / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name = hashlib.sha1(b"corp").hexdigest()
    (cache / f"{name}.json").write_text(json.dumps({
        "accessToken": "old", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1",
        "startUrl": "https://corp.example/start", "refreshToken": "refresh-1",
        "clientId": "c", "clientSecret": "s",
        "registrationExpiresAt": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                               time.gmtime(time.time() + 86400))}))
    return "assumed-role/Sso"


def with_container(mount, cloud):
    cloud.double.friends.container_token = "container-token"
    mount.variables.update({
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": cloud.double.url + "/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"})
    return "assumed-role/TaskRole"


def with_instance(mount, cloud):
    del mount.variables["AWS_EC2_METADATA_DISABLED"]
    mount.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = cloud.double.url
    return "assumed-role/InstanceRole"


@pytest.mark.parametrize("way", [with_profile, with_role, with_web_identity, with_sso,
                                 with_container, with_instance], ids=lambda w: w.__name__)
def test_each_way_to_credentials(new_bedrock, cloud, way):
    mount = new_bedrock()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del mount.variables[name]
    arn = way(mount, cloud)
    mount.start()
    job = mount.run_job("one", DATA)
    check_complete(job, DATA)
    create, = cloud.double.seen("CreateModelInvocationJob")
    assert arn in cloud.double.keyring.find(create.access_key).arn
    cloud.only_job()


def test_files_are_named_from_where_the_daemon_was_started(new_bedrock, cloud):
    """It leaves that directory when it goes to the background."""
    mount = new_bedrock()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del mount.variables[name]
    with_role(mount, cloud)
    mount.variables.update(AWS_CONFIG_FILE="aws-config",
                           AWS_SHARED_CREDENTIALS_FILE="./aws-credentials")
    done = subprocess.run(mount.command(), cwd=mount.base, env=mount.environment(), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    try:
        assert done.returncode == 0, done.stderr
        check_complete(mount.run_job("one", DATA), DATA)
    finally:
        sh(f"fusermount3 -u {mount.dir}", check=0)


def test_endpoints_and_keys_of_a_profile(new_bedrock, cloud):
    """Nothing is in the environment but which profile it is."""
    mount = new_bedrock({"region": None})
    mount.variables = {k: v for k, v in mount.variables.items() if not k.startswith("AWS_")}
    mount.variables["AWS_PROFILE"] = "dev"
    config_file(mount, f"""
[profile dev]
region = us-east-1
services = local
aws_access_key_id = {cloud.s3.access_key}
aws_secret_access_key = {cloud.s3.secret_key}

[services local]
bedrock =
  endpoint_url = {cloud.double.url}
sts =
  endpoint_url = {cloud.double.url}
s3 =
  endpoint_url = {cloud.front.url}
""")
    mount.start()
    check_complete(mount.run_job("one", DATA), DATA)
    cloud.only_job()


@pytest.mark.parametrize("owner, word", [("111122223333", "Completed"),
                                         ("999999999999", "Invalid")])
def test_the_owner_of_the_bucket_is_made_sure_of(new_bedrock, cloud, owner, word):
    mount = new_bedrock({"bucket_owner": owner}).start()
    job = mount.job("one")
    job.fill(DATA, "us.anthropic.claude-sonnet-4-6")
    assert job.wait_state("Completed", "Invalid", timeout=30) == word, job.read("error")
    if word == "Completed":
        data = cloud.only_job().body["inputDataConfig"]["s3InputDataConfig"]
        assert data["s3BucketOwner"] == owner
    else:
        assert job.read("error") and cloud.double.jobs() == []


def test_a_kms_key_is_used_for_inputs_and_outputs(new_bedrock, cloud):
    mount = new_bedrock({"kms_key": KMS_KEY}).start()
    job = mount.run_job("one", DATA)
    assert job.status() == "Completed", job.read("error")
    made = cloud.only_job().body
    assert made["outputDataConfig"]["s3OutputDataConfig"]["s3EncryptionKeyId"] == KMS_KEY
    key = made["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix(f"s3://{BUCKET}/")
    head = cloud.s3.client().head_object(Bucket=BUCKET, Key=key)
    assert head["SSEKMSKeyId"] == KMS_KEY and head["ServerSideEncryption"] == "aws:kms"


@pytest.mark.parametrize("checksum", ["when_supported", "when_required"])
def test_checksums_are_sent_or_not(new_bedrock, cloud, checksum):
    mount = new_bedrock({"checksum": checksum}).start()
    check_complete(mount.run_job("one", DATA), DATA)
    sums = [key for _, key in cloud.front.sums if key.startswith(cloud.prefix + "/")]
    assert bool(sums) == (checksum == "when_supported")


@pytest.mark.parametrize("path_style", ["no", "yes"])
def test_a_bucket_by_its_own_host_and_by_path(new_bedrock, cloud, path_style):
    """As on AWS: names in DNS (a proxy knows them), and the real server, which takes both."""
    mount = new_bedrock({"path_style": path_style})
    mount.variables.update({"AWS_ENDPOINT_URL_S3": "http://" + S3_DOMAIN,
                            "NO_PROXY": "127.0.0.1"})
    with Proxy(cloud.s3.endpoint) as proxy:
        mount.variables["http_proxy"] = proxy.url
        mount.start()
        check_complete(mount.run_job("one", DATA), DATA)
        (mount.dir / "one" / "ctl").write_text("purge\n")
        until(lambda: cloud.keys() == [], 10, "objects were left")
        mount.stop()
    own = {"no": f"{BUCKET}.{S3_DOMAIN}", "yes": S3_DOMAIN}[path_style]
    assert {host for host, _ in proxy.seen} == {own}
    assert {"HEAD", "PUT", "GET", "DELETE"} <= {method for _, method in proxy.seen}
    cloud.only_job()


@pytest.mark.parametrize("model", [
    APPLICATION,
    "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-sonnet-4-6",
    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
    "global.anthropic.claude-haiku-4-5-20251001-v1:0"])
def test_models_by_profile_and_by_arn(new_bedrock, cloud, model):
    cloud.double.plane.application_profiles[APPLICATION] = "anthropic.claude-sonnet-4-6"
    mount = new_bedrock().start()
    check_complete(mount.run_job("one", DATA, model), DATA)
    assert cloud.only_job().body["modelId"] == model


def test_two_mounts_of_different_prefixes_share_the_service(new_bedrock, cloud):
    first = new_bedrock({"jobs": "mine"})
    second = new_bedrock({"jobs": "mine"})
    second.source += "-other/deep"
    for mount in (first, second):
        mount.start()
    for mount in (first, second):
        job = mount.run_job("same-name", DATA)
        check_complete(job, DATA)
    made = cloud.double.jobs("same-name")
    assert len({j.name for j in made}) == 2 and {j.body["roleArn"] for j in made} == {ROLE}
    assert cloud.s3.keys(BUCKET, f"{cloud.prefix}-other/deep/")
