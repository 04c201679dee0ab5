"""Records run on demand by the bedrock backend, against the double's runtime."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "double"))

from answers import answer_text  # noqa: E402
from double import Double  # noqa: E402
from s3server import missing, s3server  # noqa: E402,F401

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

RUN = os.environ.get("RUN_ONDEMAND", "build/tests/integration/run_ondemand")
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
END_S = 60


@pytest.fixture(scope="module")
def double(s3server):  # noqa: F811
    with Double(s3server) as d:
        d.make_bucket("bucket-1")
        yield d


@pytest.fixture(autouse=True)
def clean(double):
    double.reset()
    yield
    assert double.plane.complaints == []


def records(tmp_path, count, prompt="prompt {}"):
    path = tmp_path / "input.jsonl"
    path.write_text("".join(json.dumps({"recordId": f"r{i}", "modelInput": {
        "prompt": prompt.format(i)}}) + "\n" for i in range(count)))
    return path


def start(double, tmp_path, model=LLAMA, *options, **variables):
    return subprocess.Popen(
        [RUN, "bucket-1", model, tmp_path / "input.jsonl", tmp_path / "output.jsonl", *options],
        env={**double.variables(), **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)


def run(double, tmp_path, model=LLAMA, *options, **variables):
    child = start(double, tmp_path, model, *options, **variables)
    out, words = child.communicate(timeout=END_S)
    return child.returncode, [tuple(map(int, line.split())) for line in out.splitlines()], words


def lines(tmp_path):
    found = [json.loads(line) for line in
             (tmp_path / "output.jsonl").read_text().split("\n") if line]
    by_id = {line["recordId"]: line for line in found}
    assert len(by_id) == len(found), "one line a record"
    return by_id


def test_each_record_is_bought_once(double, tmp_path):
    records(tmp_path, 300)
    with double.setting(runtime_latency=0.02):
        status, told, words = run(double, tmp_path)
    assert (status, words) == (0, "")
    assert told[0] == (0, 0, 300) and told[-1] == (300, 0, 300)
    found = lines(tmp_path)
    for i in range(300):
        assert found[f"r{i}"]["modelInput"] == {"prompt": f"prompt {i}"}
        assert found[f"r{i}"]["modelOutput"]["generation"] == answer_text(f"prompt {i}")
    summary = double.runtime.summary()
    assert (summary["asked"], summary["bought"], summary["most_bought"]) == (300, 300, 1)
    assert 1 < summary["at_once_most"] <= 16
    assert {s.operation for s in double.seen()} == {"InvokeModel"}
    assert run(double, tmp_path)[0] == 0
    assert double.runtime.summary()["asked"] == 300, "nothing is left to ask"


def test_converse_by_a_profile(double, tmp_path):
    (tmp_path / "input.jsonl").write_text(json.dumps({"recordId": "a", "modelInput": {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 5}}}) + "\n")
    status, told, words = run(double, tmp_path, "us.anthropic.claude-sonnet-4-6",
                              "invocation=Converse")
    assert status == 0, words
    output = lines(tmp_path)["a"]["modelOutput"]
    assert output["output"]["message"]["content"][-1]["text"] == answer_text("hello")
    assert [s.operation for s in double.seen()] == ["Converse"]


def test_a_crowded_and_throttling_service_answers_all_in_the_end(double, tmp_path):
    records(tmp_path, 60)
    with double.setting(runtime_parallel=4, runtime_throttle_rate=0.1, runtime_latency=0.02):
        status, told, words = run(double, tmp_path)
    assert status == 0, words
    assert told[-1] == (60, 0, 60)
    assert double.runtime.most_bought() == 1
    assert double.runtime.summary()["asked"] > 60


def test_records_that_fail_are_told_with_code_and_words(double, tmp_path):
    path = records(tmp_path, 20)
    with path.open("a") as f:
        for i, prompt in enumerate(["[[error:400:bad record]]", "[[error:424:it broke]]"]):
            f.write(json.dumps({"recordId": f"bad{i}", "modelInput": {"prompt": prompt}}) + "\n")
        f.write('{"recordId":"bad2","modelInput":{"no":"prompt"}}\n')
    status, told, words = run(double, tmp_path)
    assert status == 0, words
    assert told[-1] == (20, 3, 23)
    found = lines(tmp_path)
    assert found["bad0"]["error"] == {"errorCode": 400, "errorMessage": "bad record"}
    assert found["bad1"]["error"] == {"errorCode": 424, "errorMessage": "it broke",
                                      "retryable": True}
    assert "Field required" in found["bad2"]["error"]["errorMessage"]


@pytest.mark.parametrize("setting,model,errno,words", [
    ({"runtime_denied": True}, LLAMA, "EINVAL", "bedrock:InvokeModel"),
    ({}, "nobody.knows-it-v1:0", "EINVAL", "identifier is invalid"),
    ({}, "anthropic.claude-sonnet-4-6", "EINVAL", "profile"),
])
def test_what_concerns_all_records_makes_none_of_them_fail(double, tmp_path, setting, model,
                                                           errno, words):
    records(tmp_path, 30)
    with double.setting(**setting):
        status, told, said = run(double, tmp_path, model)
    assert status == 1 and words in said and f"errno: {errno}" in said, said
    assert told[-1] == (0, 0, 30)
    assert lines(tmp_path) == {}
    assert run(double, tmp_path)[0] == 0, "mended, it goes on"


def test_expired_credentials_end_the_run_and_it_goes_on_with_new_ones(double, tmp_path):
    records(tmp_path, 200)
    key = double.mint("arn:aws:sts::111122223333:assumed-role/dev/me", 3600)
    session = {"AWS_ACCESS_KEY_ID": key.access_key, "AWS_SECRET_ACCESS_KEY": key.secret_key,
               "AWS_SESSION_TOKEN": key.token}
    with double.setting(runtime_latency=0.05):
        child = start(double, tmp_path, LLAMA, **session)
        for line in child.stdout:
            if int(line.split()[0]) > 20:
                break
        double.keyring.expire()
        said = child.communicate(timeout=END_S)[1]
    assert child.returncode == 1 and "errno: EAGAIN" in said and "renew them" in said, said
    assert key.secret_key not in said and key.token not in said
    before = len(lines(tmp_path))
    assert 20 < before < 200
    assert run(double, tmp_path)[0] == 0
    assert len(lines(tmp_path)) == 200
    assert double.runtime.most_bought() == 1


def test_a_killed_run_goes_on_and_buys_nothing_again_that_it_told_of(double, tmp_path):
    records(tmp_path, 250)
    told = 0
    for until in (30, 90, 150, 210):
        with double.setting(runtime_latency=0.03):
            child = start(double, tmp_path)
            for line in child.stdout:
                told = int(line.split()[0])
                if told > until:
                    break
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            child.stderr.close()
        whole = (tmp_path / "output.jsonl").read_text().count("\n")
        assert whole >= told
    status, last, words = run(double, tmp_path)
    assert status == 0, words
    assert last[-1] == (250, 0, 250)
    assert len(lines(tmp_path)) == 250
    summary = double.runtime.summary()
    assert summary["records"] == 250
    assert summary["bought"] <= 250 + 4 * 16, "only what was on its way at a kill"


def test_an_api_key_does_it_without_a_signature(double, tmp_path):
    records(tmp_path, 3)
    double.keyring.add_bearer("ABSKsecret")
    status, told, words = run(double, tmp_path, AWS_BEARER_TOKEN_BEDROCK="ABSKsecret",
                              AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert status == 0, words
    assert all(s.headers["authorization"] == "Bearer ABSKsecret" for s in double.seen())


def test_the_runtime_may_be_elsewhere(double, tmp_path):
    records(tmp_path, 2)
    status, _, words = run(double, tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:9",
                           AWS_ENDPOINT_URL_BEDROCK="http://127.0.0.1:9")
    assert status == 0, words
