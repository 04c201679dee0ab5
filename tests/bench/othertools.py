"""A batch job with curl, and with the AWS command line: the steps that a user's script has.

	tool = Curl(...) or AwsCli(...)
	tool.submit(name, input)     S3 has the input, and the service the job
	tool.collect(name, arn)      returns when it has ended and its results are in a file here

curl signs by itself (--aws-sigv4), though no path with an ARN in it as Bedrock wants it; so it
waits by listing.  The command line of Debian 12 has no batch inference: it gets a description
of the three calls, of our own, in AWS_DATA_PATH.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

PAUSE = 0.2  # between two looks whether the job has ended, as the mount's poll

CURL_SUBMIT = """
curl -sSf "${sign[@]}" --aws-sigv4 aws:amz:us-east-1:s3 -H "$unsigned" -T "$input" "$s3/$bucket/$key"
curl -sSf "${sign[@]}" --aws-sigv4 aws:amz:us-east-1:bedrock -H content-type:application/json \\
	-d @"$request" "$bedrock/model-invocation-job"
"""

CURL_COLLECT = """
until curl -sSf "${sign[@]}" --aws-sigv4 aws:amz:us-east-1:bedrock \\
	"$bedrock/model-invocation-jobs?nameContains=$name" | grep -q '"Completed"'; do
	sleep $pause
done
curl -sSf "${sign[@]}" --aws-sigv4 aws:amz:us-east-1:s3 -H "$unsigned" \\
	"$s3/$bucket/?list-type=2&prefix=$prefix" | grep -o '<Key>[^<]*\\.out<' | while read -r found; do
	found=${found#<Key>} found=${found%<}
	curl -sSf "${sign[@]}" --aws-sigv4 aws:amz:us-east-1:s3 -H "$unsigned" \\
		-o "$results/${found##*/}" "$s3/$bucket/$found"
done
cat "$results"/*.jsonl.out >/dev/null
"""

AWS_SUBMIT = """
aws --endpoint-url "$s3" s3 cp --quiet "$input" "s3://$bucket/$key"
aws --endpoint-url "$bedrock" batchjobs create-model-invocation-job \\
	--cli-input-json "file://$request"
"""

AWS_COLLECT = """
until [ "$(aws --endpoint-url "$bedrock" batchjobs get-model-invocation-job \\
	--job-identifier "$arn" --query status --output text)" = Completed ]; do
	sleep $pause
done
aws --endpoint-url "$s3" s3 cp --quiet --recursive --exclude '*' --include '*.out' \\
	"s3://$bucket/$out" "$results"
cat "$results"/*/*.jsonl.out >/dev/null
"""


def string():
    return {"shape": "Text"}


def structure(**members):
    return {"type": "structure", "members": members}


def service_model():
    """What the command line must know of create and get."""
    return {
        "version": "2.0",
        "metadata": {"apiVersion": "2023-04-20", "endpointPrefix": "bedrock",
                     "protocol": "rest-json", "serviceFullName": "Batch jobs",
                     "serviceId": "Batchjobs", "signatureVersion": "v4",
                     "signingName": "bedrock", "uid": "batchjobs-2023-04-20"},
        "operations": {
            "CreateModelInvocationJob": {
                "name": "CreateModelInvocationJob",
                "http": {"method": "POST", "requestUri": "/model-invocation-job"},
                "input": {"shape": "Create"}, "output": {"shape": "Created"}},
            "GetModelInvocationJob": {
                "name": "GetModelInvocationJob",
                "http": {"method": "GET", "requestUri": "/model-invocation-job/{jobIdentifier}"},
                "input": {"shape": "Get"}, "output": {"shape": "Job"}}},
        "shapes": {
            "Text": {"type": "string"},
            "Place": structure(s3Uri=string()),
            "Input": structure(s3InputDataConfig={"shape": "Place"}),
            "Output": structure(s3OutputDataConfig={"shape": "Place"}),
            "Create": structure(jobName=string(), roleArn=string(), modelId=string(),
                                clientRequestToken=string(), inputDataConfig={"shape": "Input"},
                                outputDataConfig={"shape": "Output"}),
            "Created": structure(jobArn=string()),
            "Get": {**structure(jobIdentifier={**string(), "location": "uri",
                                               "locationName": "jobIdentifier"}),
                    "required": ["jobIdentifier"]},
            "Job": structure(jobArn=string(), status=string(), message=string())}}


class Tool:
    """variables: of the double; base: a directory of one's own; request(name, uri): of a create."""

    name = submit_script = collect_script = None

    def __init__(self, base, variables, bucket, prefix, request):
        self.base, self.variables = Path(base) / self.name, variables
        self.bucket, self.prefix, self.request = bucket, f"{prefix}/{self.name}", request
        self.base.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.env.update(variables, HOME=str(self.base))

    @property
    def version(self):
        return None

    def run(self, script, name, **more):
        values = {"s3": self.variables["AWS_ENDPOINT_URL_S3"], "bucket": self.bucket,
                  "bedrock": self.variables["AWS_ENDPOINT_URL_BEDROCK"], "name": name,
                  "pause": str(PAUSE), "out": f"{self.prefix}/{name}/out/",
                  "prefix": quote(f"{self.prefix}/{name}/out/", safe=""),
                  "unsigned": "x-amz-content-sha256: UNSIGNED-PAYLOAD", **more}
        head = ('set -eu -o pipefail\n'
                'sign=(--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY")\n')
        done = subprocess.run(["bash", "-c", head + script], env={**self.env, **values}, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600,
                              check=False)
        assert done.returncode == 0, f"{self.name}: {done.stdout}{done.stderr}"

    def submit(self, name, source):
        key = f"{self.prefix}/{name}/in.jsonl"
        body = self.request(name, f"s3://{self.bucket}/{key}",
                            f"s3://{self.bucket}/{self.prefix}/{name}/out/")
        file = self.base / f"{name}.json"
        file.write_text(json.dumps(body))
        self.run(self.submit_script, name, input=str(source), key=key, request=str(file))

    def collect(self, name, arn):
        results = self.base / name
        results.mkdir()
        self.run(self.collect_script, name, arn=arn, results=str(results))
        shutil.rmtree(results)


class Curl(Tool):
    name, submit_script, collect_script = "curl", CURL_SUBMIT, CURL_COLLECT

    @property
    def version(self):
        done = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
        return "curl " + done.stdout.split()[1]


class AwsCli(Tool):
    name, submit_script, collect_script = "aws", AWS_SUBMIT, AWS_COLLECT

    def __init__(self, *given):
        super().__init__(*given)
        models = self.base / "models" / "batchjobs" / "2023-04-20"
        models.mkdir(parents=True)
        (models / "service-2.json").write_text(json.dumps(service_model()))
        # Debian's, where another one comes first.
        self.env.update(AWS_DATA_PATH=str(self.base / "models"), AWS_PAGER="",
                        PATH="/usr/bin:" + os.environ["PATH"])
        host = urlsplit(self.variables["AWS_ENDPOINT_URL_S3"]).hostname
        self.env["no_proxy"] = self.env["NO_PROXY"] = host

    @property
    def version(self):
        done = subprocess.run(["aws", "--version"], env=self.env, capture_output=True, text=True,
                              check=False)
        return done.stdout.split()[0] if done.returncode == 0 else None
