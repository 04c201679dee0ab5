"""docs/semantics.md, "Removing, renaming, copying": rm -r, mv and cp -r of jobs."""

import errno
import os

import pytest

from inputs import records
from mountkit import sh, until

SLOW = "delay_ms = 1000\n"


def names(job):
    return sorted(os.listdir(job))


def raises(number, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == number, caught.value


def test_rm_r_of_a_draft_deletes_it(mount, name):
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(b"".join(records(3)))
    (job / ".hidden").write_text("x")
    os.mkdir(job / "media")
    (job / "media" / "a.png").write_text("x")
    sh(f"rm -r {job}", check=0)
    assert name not in os.listdir(mount.dir)


def test_rm_r_of_an_empty_draft_deletes_it(mount, name):
    mount.job(name)
    sh(f"rm -r {name}", mount.dir, check=0)
    assert name not in os.listdir(mount.dir)


def test_rm_r_of_an_invalid_job_deletes_it(mount, name):
    job = mount.job(name)
    sh(f"echo nonsense > {job}/input.jsonl")
    job.wait_state("Invalid")
    sh(f"rm -r {job}", check=0)
    assert name not in os.listdir(mount.dir)


def test_rmdir_of_a_draft_with_files_of_the_user_says_not_empty(draft):
    (draft / "input.jsonl").write_bytes(b"".join(records(1)))
    raises(errno.ENOTEMPTY, os.rmdir, draft.path)
    assert "input.jsonl" in os.listdir(draft)


@pytest.mark.short
def test_rm_r_of_an_active_job_says_busy_and_nothing_is_lost(mount, name):
    job = mount.job(name)
    job.fill(records(60), "builtin.slow", SLOW)
    job.wait_state("InProgress")
    before = names(job)
    done = sh(f"rm -r {job}")
    assert done.returncode != 0 and "busy" in done.stderr
    assert names(job) == before
    assert job.status() == "InProgress"
    assert (job / "input.jsonl").read_bytes() == b"".join(records(60))
    job.ctl("stop")
    assert job.wait_end() == "Stopped"
    sh(f"rm -r {job}", check=0)


def test_rm_r_of_an_ended_job_holds_over_a_restart(new_mount):
    mount = new_mount().start()
    job = mount.run("gone", records(3))
    sh(f"rm -r {job}", check=0)
    assert not os.path.exists(job)
    mount.restart()
    assert "gone" not in os.listdir(mount.dir)
    mount.job("gone")  # the name is free again


def test_rm_rf_and_python_rmtree_of_ended_jobs(mount, name):
    import shutil
    sh(f"rm -rf {mount.run(name + '-1', records(3))}", check=0)
    shutil.rmtree(mount.run(name + "-2", records(3)).path)
    assert not [n for n in os.listdir(mount.dir) if n.startswith(name)]


@pytest.mark.limit(90)
def test_removed_files_of_an_ended_job_come_back_in_a_while(mount, name):
    job = mount.run(name, records(3))
    files = ("results.csv", "input.jsonl", "output/rec-00001.json")
    content = {f: (job / f).read_bytes() for f in files}
    for file in files:
        sh(f"rm -f {job}/{file}")
    for file in files:
        until(lambda f=file: os.path.exists(job / f), 45, f"{file} did not come back")
        assert (job / file).read_bytes() == content[file]
    assert "results.csv" in os.listdir(job) and "rec-00001.json" in os.listdir(job / "output")


@pytest.mark.parametrize("state", ["Draft", "Held", "InProgress", "Completed"])
def test_mv_renames_in_any_state_and_open_files_go_on(mount, name, state):
    job = mount.job(name)
    if state == "Held":
        job.ctl("hold")
    if state != "Draft":
        slow = state == "InProgress"
        job.fill(records(30), "builtin.slow" if slow else "builtin.echo", SLOW if slow else None)
        job.wait_state(state)
    with open(job / "status", encoding="utf-8") as reader:
        sh(f"mv {name} {name}-2", mount.dir, check=0)
        assert reader.read() == state + "\n"
    assert name not in os.listdir(mount.dir) and f"{name}-2" in os.listdir(mount.dir)
    raises(errno.ENOENT, os.stat, job.path)
    moved = type(job)(mount.dir / f"{name}-2")
    assert moved.status() in (state, "Completed")
    if state == "InProgress":
        moved.ctl("stop")
        moved.wait_end()


def test_mv_while_a_writer_has_the_input_open_keeps_what_it_writes(mount, name):
    job = mount.job(name)
    with open(job / "input.jsonl", "wb") as f:
        f.write(records(2)[0])
        f.flush()
        os.rename(job.path, f"{job}-2")
        f.write(records(2)[1])
    moved = type(job)(f"{job}-2")
    assert (moved / "input.jsonl").read_bytes() == b"".join(records(2))
    (moved / "model").write_text("builtin.echo\n")
    assert moved.wait_end() == "Completed"


def test_mv_onto_a_job_that_exists_is_refused_or_moves_inside_never_overwrites(mount, name):
    first, second = mount.run(name + "-1", records(1)), mount.run(name + "-2", records(2))
    with pytest.raises(OSError):
        os.rename(first.path, second.path)
    assert len(first.lines()) == 1 and len(second.lines()) == 2


def test_the_new_name_survives_a_restart(new_mount):
    mount = new_mount().start()
    mount.run("one", records(2))
    os.rename(mount.dir / "one", mount.dir / "two")
    mount.restart()
    assert os.listdir(mount.dir) in (["two"], ["two", ".batchfs"], [".batchfs", "two"])
    assert (mount.dir / "two" / "status").read_text() == "Completed\n"


def test_cp_r_inside_the_mount_copies_the_users_files_and_never_the_results(mount, name):
    job = mount.run(name, records(3))
    sh(f"cp -r {job} {job}-2", timeout=20)  # exit code 1: the generated files exist already
    copy = type(job)(f"{job}-2")
    assert (copy / "input.jsonl").read_bytes() == (job / "input.jsonl").read_bytes()
    assert copy.read("model") == "builtin.echo\n"
    assert copy.wait_end() == "Completed"


def test_cp_r_out_of_the_mount_copies_everything(mount, name, base):
    job = mount.run(name, records(3))
    sh(f"cp -r {job} {base}/copy", check=0, timeout=20)
    sh(f"diff -r {job} {base}/copy", check=0)


@pytest.mark.parametrize("why,call,numbers", [
    ("a dot name", lambda m, n: os.mkdir(m / f".{n}"), (errno.EPERM, errno.EINVAL, errno.EACCES)),
    ("a Trash", lambda m, n: os.mkdir(m / ".Trash-0"), (errno.EPERM, errno.EINVAL, errno.EACCES)),
    ("a file at the top", lambda m, n: (m / "loose.txt").write_text("x"),
     (errno.EPERM, errno.EACCES, errno.EINVAL)),
    ("a rename to a dot name", lambda m, n: os.rename(m / n, m / f".{n}"),
     (errno.EPERM, errno.EINVAL, errno.EACCES)),
    ("a directory in a job", lambda m, n: os.mkdir(m / n / "other"), (errno.EPERM, errno.EACCES)),
    ("a symbolic link", lambda m, n: os.symlink("/etc/passwd", m / n / "link"),
     (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)),
    ("a hard link", lambda m, n: os.link(m / n / "notes", m / n / "other"),
     (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)),
    ("a fifo", lambda m, n: os.mkfifo(m / n / "fifo"),
     (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)),
    ("a job in a job", lambda m, n: os.rename(m / n, m / f"{n}-b" / "inner"),
     (errno.EPERM, errno.EXDEV, errno.EACCES, errno.EINVAL)),
    ("an existing name", lambda m, n: os.mkdir(m / n), (errno.EEXIST,)),
    ("writing status", lambda m, n: (m / n / "status").write_text("Completed\n"),
     (errno.EACCES, errno.EPERM)),
    ("a rename onto status", lambda m, n: os.rename(m / n / "notes", m / n / "status"),
     (errno.EACCES, errno.EPERM)),
    ("a file in .batchfs", lambda m, n: (m / ".batchfs" / "x").write_text("x"),
     (errno.EACCES, errno.EPERM)),
    ("removing .batchfs", lambda m, n: os.rmdir(m / ".batchfs"),
     (errno.EACCES, errno.EPERM, errno.EBUSY, errno.ENOTEMPTY)),
    ("a line end in a name", lambda m, n: os.mkdir(m / "new\nline"), (errno.EINVAL,)),
    ("a tab in a name", lambda m, n: os.mkdir(m / "tab\there"), (errno.EINVAL,)),
    ("a name that is no UTF-8", lambda m, n: os.mkdir(os.fsencode(m) + b"/\xff"), (errno.EINVAL,)),
    ("a name of 256 bytes", lambda m, n: os.mkdir(m / ("x" * 256)), (errno.ENAMETOOLONG,)),
], ids=lambda v: v.replace(" ", "-") if isinstance(v, str) else "")
def test_what_the_tree_has_no_place_for_is_refused(mount, name, why, call, numbers):
    job, other = mount.job(name), mount.job(name + "-b")
    (job / "notes").write_text("x")
    with pytest.raises(OSError) as caught:
        call(mount.dir, name)
    assert caught.value.errno in numbers, why
    assert job.status() == "Draft" and other.status() == "Draft"


@pytest.mark.parametrize("odd", ["with space", "Größe", "测试", "a'b\"c", "x" * 255,
                                 "-dash", "100%"])
def test_a_job_may_have_any_name_a_directory_may_have(mount, odd):
    job = mount.job(odd)
    job.fill(records(1))
    assert job.wait_end() == "Completed"
    assert odd in os.listdir(mount.dir)
    sh("rm -r -- \"$JOB\"", env=dict(os.environ, JOB=str(job)), check=0)
