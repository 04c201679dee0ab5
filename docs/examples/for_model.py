#!/usr/bin/python3
"""Makes records for another family of models of records for Claude.

    docs/examples/for_model.py nova < docs/examples/conversations.jsonl > input.jsonl

A modelInput is the body of the model's own request, and families differ.  With
`invocation = Converse` in JOB/config one shape does for all that chat.

    claude     anthropic.claude-...          as it is
    nova       amazon.nova-micro-v1:0        text, images and videos
    titan      amazon.titan-embed-text-v2:0  embeddings: one vector a record
    llama      meta.llama3-...               one prompt in Llama 3's own notation
    converse   any that chats                with `invocation = Converse`
    image      amazon.nova-lite-v1:0         a picture of JOB/media/ a record: media://NAME
"""

import json
import signal
import sys


def text_of(message):
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n\n".join(block["text"] for block in content if block["type"] == "text")


def turns(body):
    return [(message["role"], text_of(message)) for message in body["messages"]]


def claude(record):
    return record["modelInput"]


def converse(record):
    body = record["modelInput"]
    return {"system": [{"text": body["system"]}],
            "messages": [{"role": role, "content": [{"text": text}]} for role, text in turns(body)],
            "inferenceConfig": {"maxTokens": body["max_tokens"], "temperature": 0.2}}


def nova(record):
    return {"schemaVersion": "messages-v1", **converse(record)}


def titan(record):
    return {"inputText": "\n".join(text for _, text in turns(record["modelInput"])),
            "dimensions": 256, "normalize": True}


def llama(record):
    body = record["modelInput"]
    prompt = "<|begin_of_text|>"
    for role, text in [("system", body["system"]), *turns(body)]:
        prompt += f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"
    prompt += "<|start_header_id|>assistant<|end_header_id|>\n\n"
    return {"prompt": prompt, "max_gen_len": body["max_tokens"], "temperature": 0.2}


def image(record):
    picture = {"image": {"format": "png", "source": {
        "s3Location": {"uri": f"media://{record['recordId']}.png"}}}}
    return {"messages": [{"role": "user", "content": [picture, {"text": "What is this?"}]}],
            "inferenceConfig": {"maxTokens": 100}}


FAMILIES = {f.__name__: f for f in (claude, nova, titan, llama, converse, image)}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in FAMILIES:
        sys.exit(__doc__)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is enough
    for line in sys.stdin:
        record = json.loads(line)
        record["modelInput"] = FAMILIES[sys.argv[1]](record)
        print(json.dumps(record, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
