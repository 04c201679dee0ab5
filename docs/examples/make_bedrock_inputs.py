#!/usr/bin/python3
"""Makes a job's directory for each family of models: input.jsonl, model and config.

    docs/examples/make_bedrock_inputs.py DIRECTORY [RECORDS]
    cp -r DIRECTORY/nova ~/batch/my-first-job

The records are those of conversations.jsonl, brought to each family's form by
for_model.py; 100 of them, which is the least that a batch job may have.
docs/examples/bedrock shows three of each, to look at.
"""

import json
import sys
from pathlib import Path

from for_model import claude, converse, llama, nova, titan

HERE = Path(__file__).resolve().parent
TAGS = "tags = project:batchfs-example\n"
FAMILIES = {
    "claude": (claude, "us.anthropic.claude-sonnet-4-6", TAGS),
    "nova": (nova, "amazon.nova-micro-v1:0", TAGS),
    "titan-embeddings": (titan, "amazon.titan-embed-text-v2:0", TAGS),
    "llama": (llama, "us.meta.llama3-3-70b-instruct-v1:0", TAGS),
    "converse": (converse, "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                 "invocation = Converse\n" + TAGS),
}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 100
    lines = (HERE / "conversations.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    for family, (form, model, config) in FAMILIES.items():
        place = Path(sys.argv[1]) / family
        place.mkdir(parents=True, exist_ok=True)
        with open(place / "input.jsonl", "w", encoding="utf-8") as out:
            for record in map(json.loads, lines[:count]):
                record["modelInput"] = form(record)
                out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        (place / "model").write_text(model + "\n", encoding="utf-8")
        (place / "config").write_text(config, encoding="utf-8")


if __name__ == "__main__":
    main()
