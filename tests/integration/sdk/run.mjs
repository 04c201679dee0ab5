// Runs calls of the official SDK: a JSON list on standard input, a JSON list of results out.
//
//	[{"op": "GetModelInvocationJob", "input": {"jobIdentifier": "arn:..."}},
//	 {"op": "paginateListModelInvocationJobs", "input": {"maxResults": 10}},
//	 {"op": "PutObject", "input": {"Bucket": "b", "Key": "k", "Body": "text"}}]
//
// A result is {"output": ...} or {"error": {"name", "message", "status", "typed"}}; typed: it is
// an instance of the SDK's class of that name, and not of the general one.  A call whose
// "after" is true sees "$" in its input replaced by the last jobArn.

import { readFileSync } from "node:fs";
import * as bedrock from "@aws-sdk/client-bedrock";
import * as runtime from "@aws-sdk/client-bedrock-runtime";
import * as s3 from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const modules = { bedrock, runtime, s3 };
const clients = {
	bedrock: new bedrock.BedrockClient({}),
	// By itself it speaks HTTP/2, for its streams.
	runtime: new runtime.BedrockRuntimeClient({ requestHandler: new NodeHttpHandler({}) }),
	s3: new s3.S3Client({ forcePathStyle: true }),
};

async function paginate(op, input) {
	const pages = [];
	const config = { client: clients.bedrock };
	if (input.maxResults)
		config.pageSize = input.maxResults;
	for await (const page of bedrock[op](config, input))
		pages.push(page);
	return pages;
}

async function call(op, input) {
	if (op.startsWith("paginate"))
		return paginate(op, input);
	const module = ["bedrock", "runtime"].find((m) => modules[m][op + "Command"]) ?? "s3";
	const { [op + "Command"]: Command } = modules[module];
	for (const name of ["submitTimeAfter", "submitTimeBefore"])
		if (input[name])
			input[name] = new Date(input[name]);
	const output = await clients[module].send(new Command(input));
	if (output.Body)
		output.Body = await output.Body.transformToString();
	if (output.body) // bytes, of InvokeModel
		output.body = output.body.transformToString();
	return output;
}

const results = [];
let arn = null;
for (const { op, input } of JSON.parse(readFileSync(0, "utf8"))) {
	const filled = JSON.parse(JSON.stringify(input ?? {}), (_, v) => (v === "$" ? arn : v));
	try {
		const output = await call(op, filled);
		arn = output.jobArn ?? arn;
		results.push({ output });
	} catch (e) {
		results.push({ error: {
			name: e.name, message: e.message, status: e.$metadata?.httpStatusCode,
			typed: [bedrock, runtime].some((m) => m[e.name] && e instanceof m[e.name]),
		} });
	}
}
console.log(JSON.stringify(results));
