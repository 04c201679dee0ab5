"""Records to feed jobs with."""

import json


def line(obj):
    return json.dumps(obj, ensure_ascii=False).encode() + b"\n"


def record(rid, text="hello"):
    """One record in the shape of Claude's Messages; rid None: without an id."""
    obj = {} if rid is None else {"recordId": rid}
    obj["modelInput"] = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100,
                         "messages": [{"role": "user", "content": text}]}
    return line(obj)


def records(count, prefix="rec-", text="the text of {id}"):
    ids = [f"{prefix}{i:05d}" for i in range(1, count + 1)]
    return [record(i, text.format(id=i)) for i in ids]


def ids_of(lines):
    return [json.loads(item)["recordId"] for item in lines]
