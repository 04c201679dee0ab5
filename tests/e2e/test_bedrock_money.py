"""docs/semantics.md, "cost", and docs/operating.md, "Costs": what a job costs, before and after."""

import json

import pytest

from bedrockkit import CLAUDE, NOVA
from inputs import line, records
from mountkit import sh, until

# of CLAUDE in the table of the program, in USD per 1e6 tokens
IN, OUT = 1.65, 8.25


def nova(count):
    return [line({"recordId": f"r{i}", "modelInput": {
        "messages": [{"role": "user", "content": [{"text": f"question {i}"}]}],
        "inferenceConfig": {"maxTokens": 50}}}) for i in range(count)]


def cost(job):
    return json.loads(job.read("status.json"))["cost"]


def manifest(cloud):
    key, = [k for k in cloud.keys() if k.endswith("manifest.json.out")]
    body = cloud.s3.client().get_object(Bucket="batch-bucket", Key=key)["Body"].read()
    return json.loads(body)


def test_an_estimate_before_and_the_counted_figure_after(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.job("one")
    with cloud.double.setting(durations={"InProgress": 2.0}):
        job.fill(records(20), CLAUDE)
        job.wait_state("InProgress")
    before = cost(job)
    assert before["estimated"] is True and "estimate" in job.read("cost").lower()
    # max_tokens is 100 a record, and that is an upper bound
    assert before["tokens"]["output"] == 2000
    assert before["batch_usd"] == pytest.approx(
        (before["tokens"]["input"] * IN + 2000 * OUT) / 1e6, abs=1e-6)
    assert job.wait_end() == "Completed"
    after, counted = cost(job), manifest(cloud)
    assert after["estimated"] is False and "as counted" in job.read("cost")
    assert after["tokens"] == {"input": counted["inputTokenCount"],
                               "output": counted["outputTokenCount"]}
    assert json.dumps(counted) in job.read("log"), "the manifest is kept as it came"
    usd = (counted["inputTokenCount"] * IN + counted["outputTokenCount"] * OUT) / 1e6
    assert after["batch_usd"] == pytest.approx(usd, abs=1e-6)
    assert after["on_demand_usd"] == pytest.approx(2 * usd, abs=2e-6)
    assert f"{usd:.4f}" in job.read("cost"), job.read("cost")
    assert before["tokens"]["output"] >= after["tokens"]["output"]


def test_an_unknown_price_says_so_and_a_file_of_ones_own_is_taken(new_bedrock, cloud, base):
    model = "mistral.mistral-small-2402-v1:0"
    model = "meta.llama3-1-8b-instruct-v1:0"
    data = [line({"recordId": f"r{i}", "modelInput": {"prompt": "x y z", "max_gen_len": 50}})
            for i in range(4)]
    mount = new_bedrock().start()
    job = mount.run_job("unknown", data, model)
    assert cost(job)["batch_usd"] is None and cost(job)["tokens"]["input"] > 0
    assert "unknown" in job.read("cost").lower() or "not known" in job.read("cost").lower()
    mount.stop()
    prices = base / "prices.tsv"
    prices.write_text("# source: our contract, read 2026-11-26\n"
                      "meta.llama3-1-8b-instruct-v1:0\tregional\t*\t100\t200\t-\t-\n")
    mount.options["prices"] = str(prices)
    mount.start()
    job = mount.run_job("known", data, model)
    tokens = cost(job)["tokens"]
    assert cost(job)["batch_usd"] == pytest.approx(
        (tokens["input"] * 100 + tokens["output"] * 200) / 1e6)
    assert "our contract" in job.read("cost")


@pytest.mark.parametrize("limit, word", [("0.001", "Held"), ("10", "Completed")])
def test_max_cost_holds_what_is_above_it(new_bedrock, cloud, limit, word):
    mount = new_bedrock({"max_cost": limit}).start()
    job = mount.job("one")
    job.fill(records(20), CLAUDE)
    assert job.wait_state("Held", "Completed") == word
    if word == "Held":
        assert "max_cost" in job.read("error") and limit in job.read("error")
        assert cloud.double.jobs() == [] and cloud.keys() == []
        (job / "config").write_text("max_cost = 5\n")
        assert job.wait_end() == "Completed"


def test_links_lead_to_the_job_and_its_metrics(new_bedrock, cloud):
    mount = new_bedrock().start()
    job = mount.run_job("one", nova(4), NOVA)
    told = json.loads(job.read("status.json"))["parts"][0]["provider"]
    assert told["arn"] == cloud.only_job().arn
    assert told["console"].startswith("https://us-east-1.console.aws.amazon.com/bedrock/")
    assert "Bedrock*2fBatch" in told["cloudwatch"]
    assert told["input"].endswith("input.jsonl") and told["output"].startswith("s3://")
