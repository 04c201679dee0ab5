"""docs/semantics.md, "Everyday tools": what brings bytes in and out.

One test a row of the acceptance table: cp, mv, rsync, tar, scp, tee, dd, sort -o, split, jq.
"""

import errno
import os
import stat
import subprocess

import pytest

from inputs import records
from mountkit import need, sh

LINES = records(30)


@pytest.fixture
def source(base):
    file = base / "in.jsonl"
    file.write_bytes(b"".join(LINES))
    os.utime(file, ns=(1_600_000_000_123456789, 1_600_000_000_123456789))
    return file


WAYS_IN = [
    ("cp", "cp {src} {job}/input.jsonl"),
    ("cp -p", "cp -p {src} {job}/input.jsonl"),
    ("cp -a", "cp -a {src} {job}/input.jsonl"),
    ("cp over an existing file", "echo x > {job}/input.jsonl; cp {src} {job}/input.jsonl"),
    ("mv from another file system", "mv {src} {job}/input.jsonl"),
    ("mv from a scratch name", "cp {src} {job}/new.tmp && mv {job}/new.tmp {job}/input.jsonl"),
    ("install", "install -m 0640 {src} {job}/input.jsonl"),
    ("rsync -a", "rsync -a {src} {job}/input.jsonl"),
    ("rsync --inplace", "rsync -a --inplace {src} {job}/input.jsonl"),
    ("rsync twice", "rsync -a {src} {job}/input.jsonl && rsync -a {src} {job}/input.jsonl"),
    ("tee", "tee {job}/input.jsonl < {src} > /dev/null"),
    ("dd of 1 MiB blocks", "dd if={src} of={job}/input.jsonl bs=1M status=none"),
    ("dd of 100 byte blocks", "dd if={src} of={job}/input.jsonl bs=100 status=none"),
    ("dd conv=fsync", "dd if={src} of={job}/input.jsonl bs=4k conv=fsync status=none"),
    ("cat", "cat {src} > {job}/input.jsonl"),
    ("cat in two appends", "head -n 10 {src} > {job}/input.jsonl; tail -n +11 {src} >> {job}/input.jsonl"),
    ("a group of two", "{{ head -n 10 {src}; tail -n +11 {src}; }} > {job}/input.jsonl"),
    ("sort -o", "sort -o {job}/input.jsonl {src}"),
    ("jq", "jq -c . {src} > {job}/input.jsonl"),
    ("awk", "awk '{{print}}' {src} > {job}/input.jsonl"),
    ("split and cat", "split -l 7 {src} {job}/piece. && cat {job}/piece.* > {job}/input.jsonl"),
    ("truncate, then cp", "truncate -s 100 {job}/input.jsonl; cp {src} {job}/input.jsonl"),
]


@pytest.mark.parametrize("way,command", WAYS_IN, ids=[w for w, _ in WAYS_IN])
def test_this_way_of_writing_the_input_makes_a_job_that_completes(mount, draft, source, way,
                                                                  command):
    if way.startswith(("rsync", "jq")):
        need(way.split()[0])
    sh(command.format(src=source, job=draft), check=0)
    if way != "jq":  # which takes the spaces out
        assert (draft / "input.jsonl").read_bytes() == b"".join(LINES)
    sh(f"echo builtin.echo > {draft}/model", check=0)
    assert draft.wait_end() == "Completed"
    assert len(draft.lines()) == 30


@pytest.mark.parametrize("command", ["cp -p {src} {dst}", "cp -a {src} {dst}", "mv {src} {dst}",
                                     "rsync -a {src} {dst}", "touch -r {src} {dst}"])
def test_the_time_of_the_source_is_kept_to_the_nanosecond(draft, source, command):
    need(command.split()[0])
    wanted = source.stat().st_mtime_ns
    sh(command.format(src=source, dst=draft / "input.jsonl"), check=0)
    assert (draft / "input.jsonl").stat().st_mtime_ns == wanted


def test_rsync_copies_nothing_the_second_time(draft, source):
    need("rsync")
    command = f"rsync -a --itemize-changes {source} {draft}/input.jsonl"
    assert sh(command, check=0).stdout
    assert sh(command, check=0).stdout == ""


def test_rsync_of_a_finished_job_copies_every_file_with_its_size(mount, name, base):
    need("rsync")
    job = mount.run(name, LINES)
    sh(f"rsync -a {job}/ {base}/copy/", check=0)
    for file in ("output.jsonl", "results.csv", "text/rec-00001.txt", "status", "input.jsonl"):
        assert (base / "copy" / file).read_bytes() == (job / file).read_bytes(), file
    assert sh(f"rsync -a --itemize-changes {job}/ {base}/copy/", check=0).stdout == ""


def test_tar_packs_a_finished_job_and_unpacks_it_as_a_new_one(mount, name, base):
    job = mount.run(name, LINES)
    sh(f"tar cf {base}/job.tar -C {job} model input.jsonl output.jsonl text", check=0)
    sh(f"mkdir {base}/x && tar xf {base}/job.tar -C {base}/x", check=0)
    assert (base / "x/output.jsonl").read_bytes() == (job / "output.jsonl").read_bytes()
    again = mount.job(name + "-2")
    sh(f"tar cf {base}/in.tar -C {base}/x model input.jsonl && tar xf {base}/in.tar -C {again}",
       check=0)  # the model comes first, as it did when this was measured
    assert again.wait_end() == "Completed"


def test_tar_of_a_whole_job_does_not_pad_or_fail(mount, name, base):
    job = mount.run(name, LINES)
    done = sh(f"tar cf {base}/job.tar -C {job} . && tar tvf {base}/job.tar", check=0)
    assert "output.jsonl" in done.stdout
    assert "wait" not in [line.rsplit("/", 1)[-1] for line in done.stdout.splitlines()]


def test_the_calls_scp_makes_succeed(draft, source):
    data = source.read_bytes()
    fd = os.open(draft / "input.jsonl", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, data)
    os.ftruncate(fd, len(data))
    os.fchmod(fd, 0o644)
    os.close(fd)
    os.utime(draft / "input.jsonl", (1_600_000_000, 1_600_000_000))
    (draft / "model").write_text("builtin.echo\n")
    assert draft.wait_end() == "Completed"


def test_metadata_calls_on_a_draft_succeed_and_never_say_eperm(draft, source):
    file = draft / "input.jsonl"
    sh(f"cp {source} {file}", check=0)
    sh(f"chmod 600 {file} && chmod u+w {file} && chown $(id -u):$(id -g) {file}", check=0)
    sh(f"touch -d '2021-02-03 04:05:06.789' {file}", check=0)
    sh(f"touch -a {file} && touch {file}", check=0)
    for call in (lambda: os.setxattr(file, "user.note", b"x"),
                 lambda: os.getxattr(file, "user.note"), lambda: os.listxattr(file)):
        try:
            call()
        except OSError as e:
            assert e.errno in (95, 61), e  # ENOTSUP, ENODATA


def test_a_zero_byte_create_commits_nothing(mount, draft):
    sh(f"touch {draft}/input.jsonl {draft}/model", check=0)
    assert draft.status() == "Draft"
    sh("sleep 1")
    assert draft.status() == "Draft"


def test_sizes_and_kinds_are_what_ls_needs(mount, name):
    job = mount.run(name, LINES)
    info = os.stat(job / "output.jsonl")
    assert stat.S_ISREG(info.st_mode) and info.st_nlink == 1
    assert info.st_blocks * 512 >= info.st_size
    assert os.stat(job / "output").st_mode & 0o222 == 0
    assert os.statvfs(mount.dir).f_blocks > 0
    assert int(sh(f"du -sb {job}/text | cut -f1", check=0).stdout) > 0


@pytest.mark.parametrize("tool", [
    "cat {f}", "head -c 100000 {f}", "tail -c +1 {f}", "dd if={f} bs=7 status=none",
    "dd if={f} bs=1M status=none", "sed -n p {f}", "grep '' {f}", "awk '{{print}}' {f}",
    "tac {f} | tac", "sort -s -k1,1.0 {f}", "xxd -p {f} | xxd -r -p", "perl -pe '' {f}"])
@pytest.mark.parametrize("file", ["output.jsonl", "status", "text/rec-00007.txt"])
def test_each_reading_tool_sees_the_same_bytes(mount, tool, file):
    job = mount.dir / "readers"
    if not job.exists():
        mount.run("readers", LINES)
    need(tool.split()[0])
    done = subprocess.run(["bash", "-c", tool.format(f=job / file)], capture_output=True, timeout=20)
    assert done.returncode == 0
    assert done.stdout == (job / file).read_bytes()


def test_wc_sha256sum_diff_and_jq_agree_with_a_copy(mount, name, base):
    need("jq")
    job = mount.run(name, LINES)
    sh(f"cp {job}/output.jsonl {base}/copy && diff {job}/output.jsonl {base}/copy", check=0)
    sums = sh(f"sha256sum < {job}/output.jsonl; sha256sum < {base}/copy", check=0).stdout.split("\n")
    assert sums[0] == sums[1]
    assert sh(f"wc -l < {job}/output.jsonl", check=0).stdout.strip() == "30"
    assert sh(f"jq -r .recordId {job}/output.jsonl | wc -l", check=0).stdout.strip() == "30"


def test_grep_r_lists_each_answer_once_and_never_blocks(mount, name):
    job = mount.run(name, LINES)
    found = sh(f"grep -rl 'the text of rec-00007' {job}/text", check=0, timeout=10).stdout.split()
    assert found == [f"{job}/text/rec-00007.txt"]
    sh(f"grep -r 'no such thing' {job}", check=1, timeout=10)


def test_find_exec_and_cp_r_of_a_draft_and_a_running_job_do_not_hang(mount, name, base):
    job = mount.job(name)
    sh(f"find {job} -type f -exec wc -c {{}} +", check=0, timeout=10)
    job.fill(records(30), "builtin.slow", "delay_ms = 1000\n")
    job.wait_state("InProgress")
    sh(f"find {job} -type f -exec wc -c {{}} +", check=0, timeout=10)
    sh(f"cp -r {job} {base}/copy", check=0, timeout=10)
    job.ctl("stop")
    job.wait_end()


def test_python_reads_with_open_pathlib_and_mmap(mount, name):
    import mmap
    job = mount.run(name, LINES)
    with open(job / "output.jsonl", "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        assert m[:] == (job / "output.jsonl").read_bytes()
    assert open(job / "text/rec-00001.txt").read() == "the text of rec-00001\n"


def test_an_mmap_writer_makes_a_valid_input(draft):
    import mmap
    data = b"".join(LINES)
    fd = os.open(draft / "input.jsonl", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, len(data))
    try:
        area = mmap.mmap(fd, len(data))
    except OSError:
        pytest.skip("shared writable mappings are refused here")
    finally:
        try:
            os.close(fd)
        except OSError as e:
            assert e.errno == errno.EINVAL  # it is full of zero bytes as yet
    area[:] = data
    area.close()
    (draft / "model").write_text("builtin.echo\n")
    assert draft.wait_end() == "Completed"


def test_writes_behind_the_front_are_checked_as_what_the_file_holds_at_the_end(draft):
    data = b"".join(LINES)
    with open(draft / "input.jsonl", "wb") as f:
        half = len(data) // 2
        f.seek(half)
        f.write(data[half:])
        f.flush()
        f.seek(0)
        f.write(data[:half])
    (draft / "model").write_text("builtin.echo\n")
    assert draft.wait_end() == "Completed"
    assert len(draft.lines()) == 30


def test_a_file_handed_to_two_subprocesses_is_complete_only_at_the_last_close(draft):
    with open(draft / "input.jsonl", "wb") as f:
        for part in (LINES[:15], LINES[15:]):
            subprocess.run(["cat"], input=b"".join(part), stdout=f, check=True)
    (draft / "model").write_text("builtin.echo\n")
    assert draft.wait_end() == "Completed"
    assert len(draft.lines()) == 30


def test_a_late_writer_in_the_background_is_waited_for(draft, source):
    (draft / "model").write_text("builtin.echo\n")
    sh(f"(sleep 1.5; cat {source}) > {draft}/input.jsonl", check=0)
    assert draft.wait_end() == "Completed"
    assert len(draft.lines()) == 30
