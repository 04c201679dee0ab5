"""docs/semantics.md, "Results": order, names, views, and what they survive."""

import csv
import io
import json
import os
import random
from urllib.parse import unquote

import pytest

from inputs import ids_of, line, record, records
from mountkit import need, sh

HEADER = ["record_id", "status", "text", "stop_reason", "input_tokens", "output_tokens",
          "error_code", "error_message"]


def table(job):
    data = (job / "results.csv").read_bytes()
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


@pytest.mark.short
def test_output_is_in_the_order_of_the_input(mount, name):
    lines = records(500)
    random.Random(7).shuffle(lines)
    job = mount.run(name, lines)
    assert ids_of(job.lines()) == ids_of(lines)


def test_records_without_ids_get_numbers(mount, name):
    job = mount.run(name, [record(None, f"text {i}") for i in range(1, 13)])
    assert ids_of(job.lines()) == [f"r{i:07d}" for i in range(1, 13)]
    assert job.read("text/r0000012.txt") == "text 12\n"


def test_records_with_and_without_ids_mix(mount, name):
    job = mount.run(name, [record("own", "a"), record(None, "b"), record("other", "c")])
    assert ids_of(job.lines()) == ["own", "r0000002", "other"]


WEIRD = ["../x", ".", "..", "a/b", ".hidden", "unicode-é-测试-🌱", "%41", "A", "a", "with space",
         "new\nline", "tab\t", "quote\"'", "back\\slash", "nul\u0000", "wait", "x.json", "~",
         "e\u0301", "\u00e9", "\u2028", "-rf", "*", "CON", "a" * 200, "..%2F", "/etc/passwd",
         "\U0001f468\u200d\U0001f469", "x" * 300, "x" * 299 + "y", "é" * 150]


@pytest.mark.short
def test_no_id_leaves_its_directory_or_collides(mount, name):
    lines = [record(i, f"text of {n}") for n, i in enumerate(WEIRD)]
    job = mount.run(name, lines)
    assert job.status() == "Completed"
    assert ids_of(job.lines()) == WEIRD
    listed = os.listdir(job / "output")
    assert len(listed) == len(set(listed)) == len(WEIRD)
    assert all(n.endswith(".json") and len(n.encode()) <= 255 for n in listed)
    assert not any(n.startswith(".") or "/" in n or not n.isascii() for n in listed)
    for file in listed:
        found = json.loads((job / "output" / file).read_bytes())["recordId"]
        if "~" not in file:
            assert unquote(file[:-5]) == found
        text = (job / "text" / (file[:-5] + ".txt")).read_text()
        assert text == f"text of {WEIRD.index(found)}\n"


def test_the_encoding_of_names_is_the_documented_one(mount, name):
    job = mount.run(name, [record(i) for i in (".hidden", "a/b", "%41", "plain-id_1.x", "é")])
    assert set(os.listdir(job / "output")) == \
        {"%2Ehidden.json", "a%2Fb.json", "%2541.json", "plain-id_1.x.json", "%C3%A9.json"}


def test_a_long_id_is_cut_and_gets_a_hash(mount, name):
    ids = ["x" * 300, "x" * 301, "x" * 200]
    job = mount.run(name, [record(i) for i in ids])
    listed = set(os.listdir(job / "output"))
    assert "x" * 200 + ".json" in listed
    for file in listed - {"x" * 200 + ".json"}:
        stem, _, tail = file[:-5].partition("~")
        assert set(stem) == {"x"} and len(tail) == 16 and int(tail, 16) >= 0


def test_lookup_is_by_the_whole_name_and_nothing_else(mount, name):
    job = mount.run(name, records(3))
    for wrong in ("rec-00001", "rec-00001.txt", "rec-00004.json", "rec-0000.json", ".json",
                  "rec-00001.json.json", "REC-00001.json", "%72ec-00001.json", "x" * 255):
        assert not os.path.exists(job / "output" / wrong), wrong


def test_errors_have_a_line_each_and_no_text_file(mount, name):
    job = mount.run(name, records(200), "builtin.fail")
    errors = [json.loads(item) for item in job.lines("errors.jsonl")]
    assert errors
    for item in errors:
        rid = item["recordId"]
        assert not os.path.exists(job / "text" / f"{rid}.txt")
        assert json.loads(job.read(f"output/{rid}.json"))["recordId"] == rid
    assert len(os.listdir(job / "text")) == 200 - len(errors)
    assert f"{len(errors)} failed" in job.read("progress")


def test_retry_jsonl_is_the_next_jobs_input(mount, name):
    lines = records(200)
    job = mount.run(name, lines, "builtin.fail")
    failed = [json.loads(item)["recordId"] for item in job.lines("errors.jsonl")]
    assert job.lines("retry.jsonl") == \
        [item[:-1] for item in lines if json.loads(item)["recordId"] in failed]
    again = mount.job(name + "-2")
    sh(f"cp {job}/retry.jsonl {again}/input.jsonl && echo builtin.echo > {again}/model", check=0)
    assert again.wait_end() == "Completed"
    assert ids_of(again.lines()) == failed


def test_retry_jsonl_carries_the_ids_we_gave(mount, name):
    job = mount.run(name, [record(None, f"t{i}") for i in range(100)], "builtin.fail")
    assert job.lines("retry.jsonl")
    assert ids_of(job.lines("retry.jsonl")) == ids_of(job.lines("errors.jsonl"))


def test_results_csv_is_read_by_pythons_csv(mount, name):
    texts = {"a": "plain", "b": 'with "quotes"', "c": "with, comma", "d": "two\nlines",
             "e": "carriage\r\nreturn", "f": "é🌱\u2028 end", "g": " spaces ", "h": "=1+1"}
    job = mount.run(name, [record(k, v) for k, v in texts.items()])
    rows = table(job)
    assert rows[0] == HEADER
    assert [r[0] for r in rows[1:]] == list(texts)
    for row in rows[1:]:
        assert len(row) == len(HEADER)
        assert row[1] == "good"
        assert row[2].rstrip("\n") == texts[row[0]].rstrip("\n")
    assert (job / "results.csv").read_bytes().count(b"\r\n") >= 9


def test_results_csv_of_failed_and_missing_records(mount, name):
    job = mount.run(name, records(100), "builtin.fail")
    rows = table(job)[1:]
    assert {r[1] for r in rows} == {"good", "failed"}
    assert all(r[6] and r[7] for r in rows if r[1] == "failed")
    assert len(rows) == 100


def test_u2028_in_an_answer_does_not_break_a_line(mount, name):
    text = "before\u2028after\u2029end\u0085x"
    lines = [line({"recordId": f"id-{i}", "modelInput": {"messages": [
        {"role": "user", "content": text}]}}) for i in range(3)]
    job = mount.run(name, lines)
    assert len(job.lines()) == 3
    assert json.loads(job.read("output/id-1.json"))["recordId"] == "id-1"
    assert (job / "text/id-1.txt").read_bytes() == (text + "\n").encode()


def test_an_empty_text_gives_an_empty_file_or_an_error_never_both(mount, name):
    job = mount.run(name, [record("empty", ""), record("full", "x")])
    bad = "empty" in [i for i in ids_of(job.lines("errors.jsonl"))]
    assert os.path.exists(job / "text/empty.txt") != bad


def test_a_large_record_passes_whole(mount, name):
    text = "0123456789abcdef" * 65536  # 1 MiB
    job = mount.run(name, [record("big", text), record("small", "x")])
    assert job.read("text/big.txt") == text + "\n"
    assert json.loads(job.read("output/big.json"))["recordId"] == "big"


def test_random_pieces_of_a_result_are_right(mount, name):
    job = mount.run(name, records(300))
    whole = (job / "output.jsonl").read_bytes()
    rng = random.Random(3)
    fd = os.open(job / "output.jsonl", os.O_RDONLY)
    try:
        for _ in range(200):
            at, size = rng.randrange(len(whole) + 50), rng.randrange(1, 9000)
            assert os.pread(fd, size, at) == whole[at:at + size]
    finally:
        os.close(fd)


def test_results_can_not_be_written(mount, name):
    job = mount.run(name, records(2))
    for file in ("output.jsonl", "results.csv", "text/rec-00001.txt", "output/rec-00001.json"):
        before = (job / file).read_bytes()
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            try:
                os.close(os.open(job / file, flags))
                raise AssertionError(f"{file} could be opened for writing")
            except PermissionError:
                pass
        assert (job / file).read_bytes() == before
    for new in ("output/new.json", "text/new.txt"):
        assert sh(f"touch {job}/{new}").returncode != 0


def test_directories_hold_each_name_once_in_any_read_size(mount, name):
    job = mount.run(name, records(2000))
    expected = sorted(f"rec-{i:05d}.json" for i in range(1, 2001))
    assert sorted(os.listdir(job / "output")) == expected
    assert sh(f"ls -f {job}/output | grep -c json", check=0).stdout.strip() == "2000"
    assert sh(f"ls -l {job}/output | grep -c json", check=0).stdout.strip() == "2000"
    assert sh(f"find {job}/output -name '*.json' -size +0 | wc -l", check=0).stdout.strip() == "2000"


def test_jq_and_column_of_the_readme_work(mount, name):
    need("jq", "column")
    job = mount.run(name, records(5))
    out = sh(f"jq -r '[.recordId, .modelOutput.stopReason] | @tsv' {job}/output.jsonl | column -t",
             check=0).stdout
    assert len(out.splitlines()) == 5
