"""The scripts of docs/examples make of one input what each family of models takes."""

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


def test_a_reader_of_the_first_records_is_enough():
    with open(EXAMPLES / "conversations.jsonl", encoding="utf-8") as given, \
            subprocess.Popen([EXAMPLES / "for_model.py", "nova"], stdin=given, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) as convert_some:
        assert "modelInput" in convert_some.stdout.readline()
        convert_some.stdout.close()
        assert convert_some.stderr.read() == ""


def make(*words, check=True):
    return subprocess.run([EXAMPLES / "make_bedrock_inputs.py", *words], check=check,
                          capture_output=True, text=True)


def files_of(top):
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


def test_the_jobs_shown_are_the_first_records_of_those_made(tmp_path):
    make(tmp_path / "shown", "3")
    assert files_of(tmp_path / "shown") == files_of(EXAMPLES / "bedrock")


def test_the_jobs_made_have_as_many_records_as_a_job_needs(tmp_path):
    make(tmp_path)
    inputs = list(tmp_path.glob("*/input.jsonl"))
    assert len(inputs) == 5
    for path in inputs:
        assert path.read_text(encoding="utf-8").count("\n") == 100


def test_without_a_directory_it_says_how_it_is_used():
    done = make(check=False)
    assert done.returncode == 1 and "DIRECTORY" in done.stderr
