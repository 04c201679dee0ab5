"""docs/semantics.md, "Everyday tools": programs that change a file in place."""

import os

import pytest

from inputs import records
from mountkit import need, sh

GOOD = b"".join(records(5))
BAD = GOOD.replace(b'"modelInput"', b'"modelInputs"', 1)


@pytest.fixture
def invalid(mount, name):
    """A job whose first record has a misspelt member."""
    job = mount.job(name)
    (job / "model").write_text("builtin.echo\n")
    with pytest.raises(OSError):
        (job / "input.jsonl").write_bytes(BAD)
    job.wait_state("Invalid")
    return job


VIM = "vim -es -u NONE -N -i NONE {set} -c '%s/modelInputs/modelInput/' -c wq {job}/input.jsonl"

MENDERS = [
    ("vim", VIM.replace("{set}", "")),
    ("vim, backup by renaming", VIM.replace("{set}", "-c 'set backup backupcopy=no'")),
    ("vim, backup by copying", VIM.replace("{set}", "-c 'set backup backupcopy=yes'")),
    ("sed -i", "sed -i s/modelInputs/modelInput/ {job}/input.jsonl"),
    ("perl -i", "perl -pi -e s/modelInputs/modelInput/ {job}/input.jsonl"),
    ("sed, mv", "sed s/modelInputs/modelInput/ {job}/input.jsonl > {job}/x && "
                "mv {job}/x {job}/input.jsonl"),
    ("sed, cp", "sed s/modelInputs/modelInput/ {job}/input.jsonl > {job}/x && "
                "cp {job}/x {job}/input.jsonl"),
]


@pytest.mark.parametrize("tool,command", MENDERS, ids=[m for m, _ in MENDERS])
def test_an_invalid_input_is_mended_in_place_and_runs(invalid, tool, command):
    need(tool.split(",")[0].split()[0])
    done = sh(command.format(job=invalid), cwd="/")
    assert (invalid / "input.jsonl").read_bytes() == GOOD, done.stderr
    assert invalid.wait_end() == "Completed"
    assert invalid.read("error") == ""
    assert len(invalid.lines()) == 5


def test_patching_the_bytes_behind_the_front_mends_too(invalid):
    with open(invalid / "input.jsonl", "r+b") as f:
        at = f.read().index(b'"modelInputs":')
        f.seek(at)
        f.write(b'"modelInput" :')
    assert invalid.wait_end() == "Completed"


def test_a_refused_save_in_vim_says_why_in_error(mount, name):
    need("vim")
    job = mount.job(name)
    sh(f"vim -es -u NONE -N -i NONE -c 'normal ithis is not JSON' -c wq {job}/input.jsonl")
    job.wait_state("Invalid")
    assert "input.jsonl:1:" in job.read("error")


def test_vim_writes_model_and_config(mount, name):
    need("vim")
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(GOOD)
    sh(f"vim -es -u NONE -N -i NONE -c 'normal ibuiltin.echo' -c wq {job}/model")
    assert job.wait_end() == "Completed"


def test_editing_leaves_no_scratch_files(invalid):
    need("vim")
    sh(VIM.format(set="", job=invalid))
    sh(f"sed -i s/x/x/ {invalid}/model")
    invalid.wait_end()
    assert [n for n in os.listdir(invalid) if n.startswith((".", "sed", "4913")) or "~" in n] == []
