"""docs/examples/for_model.py makes of one input what each family of models takes."""

import json
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
NEEDS = {
    "claude": {"anthropic_version", "max_tokens", "messages", "system"},
    "nova": {"schemaVersion", "system", "messages", "inferenceConfig"},
    "titan": {"inputText", "dimensions", "normalize"},
    "llama": {"prompt", "max_gen_len", "temperature"},
    "converse": {"system", "messages", "inferenceConfig"},
    "image": {"messages", "inferenceConfig"},
}


def convert(*words, check=True):
    with open(EXAMPLES / "conversations.jsonl", encoding="utf-8") as given:
        return subprocess.run([EXAMPLES / "for_model.py", *words], stdin=given, check=check,
                              capture_output=True, text=True)


@pytest.mark.parametrize("family", NEEDS)
def test_every_family_gets_its_shape(family):
    lines = convert(family).stdout.split("\n")[:-1]
    given = (EXAMPLES / "conversations.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(given) >= 100
    for line, before in zip(lines, given):
        record = json.loads(line)
        assert record["recordId"] == json.loads(before)["recordId"]
        assert record["modelInput"].keys() == NEEDS[family]


def test_claude_is_given_what_it_was():
    given = (EXAMPLES / "conversations.jsonl").read_text(encoding="utf-8")
    assert convert("claude").stdout == given


def test_without_a_family_it_says_what_there_is():
    done = convert(check=False)
    assert done.returncode == 1 and "converse" in done.stderr
