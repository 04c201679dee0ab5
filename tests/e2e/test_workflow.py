"""docs/semantics.md, "The life of a job": from mkdir to rm -r with the plainest tools."""

import json
import os

import pytest

from inputs import ids_of, record, records
from mountkit import sh, until


@pytest.mark.short
def test_the_whole_workflow_of_the_readme_with_the_right_exit_code_at_each_step(mount, name, base):
    (base / "in.jsonl").write_bytes(b"".join(records(5)))
    sh(f"set -e; mkdir {name} && cp {base}/in.jsonl {name}/input.jsonl", mount.dir, check=0)
    sh(f"echo builtin.echo > {name}/model", mount.dir, check=0)
    done = sh(f"cat {name}/wait", mount.dir, check=0)
    assert done.stdout == "Completed\n"
    sh(f"cp {name}/output.jsonl {base}/out.jsonl", mount.dir, check=0)
    assert (base / "out.jsonl").read_bytes() == (mount.dir / name / "output.jsonl").read_bytes()
    assert len((base / "out.jsonl").read_bytes().splitlines()) == 5


@pytest.mark.short
def test_who_sees_completed_may_read_everything_listed(mount, name):
    job = mount.run(name, records(20))
    assert job.status() == "Completed"
    assert {"output.jsonl", "results.csv", "errors.jsonl", "retry.jsonl"} <= set(os.listdir(job))
    assert len(os.listdir(job / "output")) == 20
    assert len(os.listdir(job / "text")) == 20
    for root, _dirs, files in os.walk(job):
        for file in files:
            path = os.path.join(root, file)
            with open(path, "rb") as f:
                assert len(f.read()) == os.stat(path).st_size, path


def test_a_new_directory_is_a_draft_without_results(draft):
    listed = set(os.listdir(draft))
    assert draft.status() == "Draft"
    assert {"status", "status.json", "progress", "error", "log", "ctl"} <= listed
    assert not {"output.jsonl", "output", "text", "results.csv", "wait", "next"} & listed
    assert draft.read("error") == ""


def test_input_and_model_in_either_order_submit_the_job(mount, name):
    first = mount.job(name + "-a")
    (first / "model").write_text("builtin.echo\n")
    (first / "input.jsonl").write_bytes(b"".join(records(2)))
    second = mount.job(name + "-b")
    (second / "input.jsonl").write_bytes(b"".join(records(2)))
    (second / "model").write_text("builtin.echo\n")
    assert first.wait_end() == "Completed"
    assert second.wait_end() == "Completed"


def test_text_is_what_the_model_wrote_with_a_newline_at_its_end(mount, name):
    job = mount.run(name, [record("a", "first line\nsecond"), record("b", "émoji 🌱")])
    assert job.read("text/a.txt") == "first line\nsecond\n"
    assert job.read("text/b.txt") == "émoji 🌱\n"


def test_a_file_per_record_is_the_whole_result_line(mount, name):
    job = mount.run(name, records(3))
    joined = b"".join((job / "output" / f"rec-{i:05d}.json").read_bytes() for i in (1, 2, 3))
    assert joined == (job / "output.jsonl").read_bytes()
    first = json.loads(job.read("output/rec-00001.json"))
    assert first["recordId"] == "rec-00001"
    assert {"modelInput", "modelOutput"} <= set(first)


def test_builtins_say_that_they_are_no_models(mount, name):
    job = mount.run(name, records(1))
    assert "builtin" in json.loads(job.lines()[0])["modelOutput"]


def test_the_same_input_gives_the_same_bytes(mount, name):
    lines = records(50)
    first, second = mount.run(name + "-1", lines), mount.run(name + "-2", lines)
    assert (first / "output.jsonl").read_bytes() == (second / "output.jsonl").read_bytes()


def test_a_job_of_a_thousand_records_runs_to_its_end(mount, name):
    job = mount.run(name, records(1000))
    assert ids_of(job.lines()) == [f"rec-{i:05d}" for i in range(1, 1001)]


def test_scratch_files_are_local_and_ignored_by_submit(mount, name):
    job = mount.job(name)
    for scratch in (".x.swp", "sedAbC123", "model~", "4913", "notes.txt"):
        (job / scratch).write_text("scratch\n")
        assert job.read(scratch) == "scratch\n"
    os.rename(job / "notes.txt", job / "other.txt")
    os.unlink(job / "4913")
    assert "4913" not in os.listdir(job)
    job.fill(records(1))
    assert job.wait_end() == "Completed"
    assert job.read("other.txt") == "scratch\n"


def test_media_is_the_one_directory_a_user_may_make(draft):
    os.mkdir(draft / "media")
    (draft / "media" / "picture.png").write_bytes(b"\x89PNG" * 1000)
    assert (draft / "media" / "picture.png").stat().st_size == 4000
    assert os.listdir(draft / "media") == ["picture.png"]
    with pytest.raises(OSError):
        os.mkdir(draft / "other")


def test_the_log_tells_the_life_of_the_job_with_times(mount, name):
    job = mount.run(name, records(2))
    log = job.read("log")
    assert "Completed" in log
    assert all(line[:2] == "20" and "T" in line.split()[0] for line in log.splitlines())


def test_status_json_is_one_object_that_agrees_with_status(mount, name):
    job = mount.run(name, records(2))
    told = json.loads(job.read("status.json"))
    assert isinstance(told, dict)
    assert "Completed" in [v for v in told.values() if isinstance(v, str)]


def test_progress_is_one_line_for_people(mount, name):
    job = mount.run(name, records(7))
    assert job.read("progress").count("\n") == 1
    assert "7/7" in job.read("progress")


def test_progress_moves_while_the_job_runs(mount, name):
    job = mount.job(name)
    job.fill(records(40), "builtin.slow", "delay_ms = 300\n")
    job.wait_state("InProgress")
    seen = {job.read("progress")}
    until(lambda: seen.add(job.read("progress")) or len(seen) >= 3, 20, "progress stood still")
    job.ctl("stop")
    assert job.wait_end() in ("Stopped", "Completed")


def test_rm_r_of_an_ended_job_forgets_it(mount, name):
    job = mount.run(name, records(2))
    sh(f"rm -r {name}", mount.dir, check=0)
    assert not os.path.exists(job)
    assert name not in os.listdir(mount.dir)
