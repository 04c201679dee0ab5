"""docs/semantics.md, "model, config and ctl": refused in write(2), where even echo notices."""

import errno
import json
import os

import pytest

from inputs import records
from mountkit import sh, until

REFUSED = [
    ("model", "no-such-model"),
    ("model", "anthropic.claude-3-haiku-20240307-v1:0"),  # a real id is never answered by a builtin
    ("model", "two words"),
    ("model", "builtin.echo\\nbuiltin.slow"),
    ("config", "this is no setting"),
    ("config", "no_such_key = 1"),
    ("config", "delay_ms = soon"),
    ("config", "delay_ms = -1"),
    ("config", "command = /bin/sh"),  # a job must not name programs
    ("config", "url = http://127.0.0.1:1/"),
    ("ctl", "frobnicate"),
    ("ctl", "retry"),  # not of a draft
    ("ctl", "stop"),
]


@pytest.mark.short
@pytest.mark.parametrize("file,text", REFUSED, ids=[f"{f}-{t[:24]}" for f, t in REFUSED])
@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_echo_of_something_wrong_exits_1(mount, name, file, text, shell):
    job = mount.job(name)
    done = sh(f"{shell} -c \"printf '{text}\\n' > {job}/{file}\"")
    assert done.returncode != 0
    assert "Invalid argument" in done.stderr or "I/O error" in done.stderr  # which dash says
    (job / "input.jsonl").write_bytes(b"".join(records(1)))
    assert job.status() in ("Draft", "Invalid")


def test_a_refused_model_does_not_submit(mount, name):
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(b"".join(records(1)))
    sh(f"echo no-such-model > {job}/model", check=1)
    sh("sleep 1.2")
    assert job.status() in ("Draft", "Invalid")


def test_error_names_what_was_refused_and_the_way_out(mount, name):
    job = mount.job(name)
    sh(f"echo anthropic.claude-3 > {job}/model", check=1)

    def told():
        text = job.read("error") + job.read("log")
        return "anthropic.claude-3" in text and "builtin." in text

    until(told, 5, "nothing was said")


def test_a_model_without_a_newline_is_taken(mount, name):
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(b"".join(records(1)))
    (job / "model").write_text("builtin.echo")
    assert job.wait_end() == "Completed"


def test_model_may_be_written_again_before_submission(mount, name):
    job = mount.job(name)
    (job / "model").write_text("builtin.slow\n")
    (job / "model").write_text("builtin.echo\n")
    assert job.read("model") == "builtin.echo\n"
    (job / "input.jsonl").write_bytes(b"".join(records(1)))
    assert job.wait_end() == "Completed"
    assert json.loads(job.lines()[0])["modelOutput"]["builtin"]["model"] == "echo"


def test_config_takes_comments_and_empty_lines(mount, name):
    job = mount.job(name)
    (job / "config").write_text("# slow, please\n\ndelay_ms = 1\n")
    job.fill(records(2), "builtin.slow")
    assert job.wait_end() == "Completed"


def test_submit_manual_in_config_holds_the_job(mount, name):
    job = mount.job(name)
    job.fill(records(1), config="submit = manual\n")
    job.wait_state("Held")
    job.ctl("submit")
    assert job.wait_end() == "Completed"


def test_ctl_lists_what_is_legal_now(mount, name):
    job = mount.job(name)
    assert "hold" in job.read("ctl").split()
    assert "retry" not in job.read("ctl").split()
    job.fill(records(40), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    assert "stop" in job.read("ctl").split()
    job.ctl("stop")
    job.wait_end()
    assert "retry" in job.read("ctl").split()
    assert "stop" not in job.read("ctl").split()


def test_ctl_takes_several_commands_a_line_each(mount, name):
    job = mount.job(name)
    (job / "ctl").write_text("refresh\nhold\nrefresh\n")
    job.fill(records(1))
    job.wait_state("Held")


def test_ctl_keeps_nothing_of_what_is_written(mount, name):
    job = mount.job(name)
    before = job.read("ctl")
    job.ctl("hold")
    sh(f"echo hold >> {job}/ctl", check=0)
    assert set(job.read("ctl").split()) <= set(before.split()) | {"submit"}


SEALED = [
    ("open for writing", lambda f: os.close(os.open(f, os.O_WRONLY))),
    ("open for appending", lambda f: os.close(os.open(f, os.O_WRONLY | os.O_APPEND))),
    ("open with truncation", lambda f: os.close(os.open(f, os.O_WRONLY | os.O_TRUNC))),
    ("truncate", lambda f: os.truncate(f, 0)),
]


@pytest.mark.short
@pytest.mark.parametrize("file", ["input.jsonl", "model", "config"])
def test_inputs_are_read_only_once_submitted_busy_while_active_and_eacces_after(mount, name, file):
    job = mount.job(name)
    job.fill(records(60), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    before = (job / file).read_bytes()

    def refused(number):
        (job / "scratch").write_text("x") if number == errno.EBUSY else None
        calls = SEALED + [("rename onto", lambda f: os.rename(job / "scratch", f))]
        for why, call in calls if (job / "scratch").exists() else SEALED:
            with pytest.raises(OSError) as caught:
                call(job / file)
            assert caught.value.errno == number, why
        assert (job / file).read_bytes() == before

    refused(errno.EBUSY)
    job.ctl("stop")
    job.wait_end()
    refused(errno.EACCES)
    assert os.stat(job / file).st_mode & 0o222 == 0


def test_unlink_of_an_input_of_an_active_job_is_busy(mount, name):
    job = mount.job(name)
    job.fill(records(60), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    for file in ("input.jsonl", "model", "status", "log"):
        with pytest.raises(OSError) as caught:
            os.unlink(job / file)
        assert caught.value.errno == errno.EBUSY, file
    job.ctl("stop")
    job.wait_end()


def test_nothing_is_submitted_twice(mount, name):
    job = mount.run(name, records(3))
    ended = os.stat(job / "output.jsonl")
    with pytest.raises(OSError):
        job.ctl("submit")
    sh("sleep 0.5")
    assert os.stat(job / "output.jsonl").st_mtime_ns == ended.st_mtime_ns
    assert job.status() == "Completed"


@pytest.mark.short
def test_stop_half_way_keeps_what_is_finished_readable(mount, name):
    job = mount.job(name)
    job.fill(records(100), "builtin.slow", "delay_ms = 100\nparallel = 2\n")
    job.wait_state("InProgress")
    until(lambda: " 0/100" not in job.read("progress"), 10, "nothing was finished")
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    good = job.lines()
    assert 0 < len(good) < 100
    assert len(os.listdir(job / "text")) == len(good)
    missing = [json.loads(item) for item in job.lines("errors.jsonl")]
    assert len(missing) == 100 - len(good)
    assert {item["error"]["errorCode"] for item in missing} == {"Missing"}
    assert len(job.lines("retry.jsonl")) == len(missing)
    assert job.lines("retry.jsonl") == [r[:-1] for r in records(100)
                                        if json.loads(r)["recordId"] in
                                        {m["recordId"] for m in missing}]


def test_retry_of_a_stopped_job_runs_the_rest_only(mount, name):
    job = mount.job(name)
    job.fill(records(60), "builtin.slow", "delay_ms = 100\nparallel = 2\n")
    job.wait_state("InProgress")
    until(lambda: " 0/60" not in job.read("progress"), 10, "nothing was finished")
    job.ctl("stop")
    job.wait_end()
    before = set(job.lines())
    job.ctl("retry")
    until(lambda: job.status() == "Completed", 20, "the retry did not complete")
    assert before < set(job.lines())
    assert [json.loads(item)["recordId"] for item in job.lines()] == \
        [f"rec-{i:05d}" for i in range(1, 61)]


@pytest.mark.short
def test_retry_after_builtin_fail_gives_completed_and_former_results_stay_readable(mount, name):
    job = mount.run(name, records(300), "builtin.fail")
    assert job.status() == "CompletedWithErrors"
    failed = [json.loads(item)["recordId"] for item in job.lines("errors.jsonl")]
    good = {item for item in job.lines() if "error" not in json.loads(item)}
    assert failed and len(good) + len(failed) == 300
    assert len(os.listdir(job / "output")) == 300 and len(os.listdir(job / "text")) == len(good)
    for _ in range(5):
        job.ctl("retry")

        def over():
            lines = job.lines()  # the last generation, whole, at every moment
            assert good <= set(lines) and len(lines) == 300
            assert len(os.listdir(job / "text")) >= len(good)
            return job.status() in ("Completed", "CompletedWithErrors")

        until(over, 20, "the retry did not end")
        if job.status() == "Completed":
            break
    assert job.status() == "Completed"
    assert job.lines("errors.jsonl") == [] and job.lines("retry.jsonl") == []
    assert len(os.listdir(job / "text")) == 300


def test_stop_before_anything_runs(mount, name):
    job = mount.job(name)
    job.fill(records(5), "builtin.slow", "delay_ms = 5000\n")
    job.wait_state("InProgress")
    job.ctl("stop")
    assert job.wait_end(timeout=10) == "Stopped"
    assert len(job.lines("retry.jsonl")) == 5
    assert job.lines() == []


def test_stop_twice_is_no_fault(mount, name):
    job = mount.job(name)
    job.fill(records(50), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    sh(f"echo stop > {job}/ctl", check=0)
    sh(f"echo stop > {job}/ctl")  # taken, or refused as no longer legal
    assert job.wait_end() == "Stopped"


def test_submit_right_behind_the_files_waits_until_they_were_looked_at(mount, name):
    job = mount.job(name)
    job.fill(records(3), config="submit = manual\n")
    job.ctl("submit")
    assert job.wait_end() == "Completed"


def test_the_forms_of_retry(mount, name):
    job = mount.run(name, records(100), "builtin.fail")
    assert job.status() == "CompletedWithErrors"
    listed = job.read("ctl").split("\n")
    assert "retry" in listed and "retry ondemand" in listed
    assert "retry pad" not in listed  # there is no minimum here
    with pytest.raises(OSError) as caught:
        job.ctl("retry pad")
    assert caught.value.errno == errno.EINVAL
    assert "retry pad: not taken: this source has no minimum" in job.read("log")
    with pytest.raises(OSError) as caught:
        job.ctl("retry soon")
    assert caught.value.errno == errno.EINVAL


def test_attempts_are_told(mount, name):
    job = mount.run(name, records(100), "builtin.fail")
    first, = json.loads(job.read("status.json"))["attempts"]
    assert first["good"] + first["failed"] == first["records"] == 100 and first["failed"] > 0
    assert (first["how"], first["automatic"], first["missing"]) == ("batch", False, 0)
    job.ctl("retry")
    job.wait_end()
    again, second = json.loads(job.read("status.json"))["attempts"]
    assert again == first and second["attempt"] == 2 and second["records"] == first["failed"]
