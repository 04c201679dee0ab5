"""docs/semantics.md, "Three classes of generated file": changing, growing, immutable."""

import mmap
import os
import threading

import pytest

from inputs import records
from mountkit import sh, until

SLOW = "delay_ms = 20\nparallel = 1\n"


def walk(job):
    for root, _dirs, files in os.walk(job):
        for file in files:
            yield os.path.join(root, file)


def check_sizes(job):
    """For each listed file: what stat said is what was there to be read."""
    for path in walk(job):
        for _ in range(20):
            try:
                first = os.stat(path)
                with open(path, "rb") as f:
                    data = f.read()
                second = os.stat(path)
            except FileNotFoundError:
                break
            if (first.st_mtime_ns, first.st_size) == (second.st_mtime_ns, second.st_size):
                assert len(data) == first.st_size, path
                break
        else:
            raise AssertionError(f"{path} never stood still")


@pytest.mark.short
def test_size_at_stat_is_what_is_read_of_every_listed_file_at_all_times(draft):
    check_sizes(draft)
    draft.fill(records(60), "builtin.slow", SLOW)
    while draft.status() != "Completed":
        check_sizes(draft)
    check_sizes(draft)


def test_an_open_status_keeps_its_bytes(draft):
    fd = os.open(draft / "status", os.O_RDONLY)
    try:
        draft.fill(records(2))
        draft.wait_end()
        assert os.pread(fd, 100, 0) == b"Draft\n"
        assert os.pread(fd, 100, 0) == b"Draft\n"
    finally:
        os.close(fd)
    assert draft.status() == "Completed"


def test_two_opens_do_not_mix(draft):
    old = os.open(draft / "status", os.O_RDONLY)
    draft.fill(records(2))
    draft.wait_end()
    new = os.open(draft / "status", os.O_RDONLY)
    try:
        for _ in range(3):
            assert os.pread(new, 100, 0) == b"Completed\n"
            assert os.pread(old, 100, 0) == b"Draft\n"
            assert os.pread(old, 3, 1) == b"raf"
    finally:
        os.close(old)
        os.close(new)


def test_readers_of_a_changing_file_never_see_half_of_two(draft):
    """Many readers of status.json while everything moves: each copy is one whole object."""
    import json
    wrong = []
    over = threading.Event()

    def look():
        while not over.is_set():
            try:
                json.loads(draft.read("status.json"))
            except ValueError as e:
                wrong.append(e)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for t in threads:
        t.start()
    draft.fill(records(50), "builtin.slow", SLOW)
    draft.wait_end()
    over.set()
    for t in threads:
        t.join(10)
    assert not wrong


def test_status_in_status_json_and_ls_agree_after_the_end(mount, name):
    job = mount.run(name, records(3))
    first = {p: open(p, "rb").read() for p in walk(job)}
    second = {p: open(p, "rb").read() for p in walk(job)}
    assert first == second


def test_an_open_result_outlives_a_retry(mount, name):
    job = mount.run(name, records(100), "builtin.fail")
    with open(job / "output.jsonl", "rb") as f, \
            mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as area:
        before = area[:]
        job.ctl("retry")
        until(lambda: (job / "output.jsonl").read_bytes() != before, 20, "nothing new came")
        f.seek(0)
        assert f.read() == before
        assert area[:] == before


def test_a_results_directory_read_half_way_goes_on_over_a_retry(mount, name):
    job = mount.run(name, records(3000), "builtin.fail")
    with os.scandir(job / "output") as entries:
        got = [next(entries).name for _ in range(10)]
        job.ctl("retry")
        until(lambda: job.status() == "Completed", 20, "no end")
        got += [e.name for e in entries]
    assert len(got) == len(set(got)) == 3000


def test_every_file_ends_at_a_line_boundary(mount, name):
    job = mount.run(name, records(20), "builtin.fail")
    for path in walk(job):
        data = open(path, "rb").read()
        assert not data or data.endswith(b"\n"), path


def test_results_are_cached_by_the_kernel_and_reads_agree(mount, name):
    job = mount.run(name, records(500))
    a = sh(f"cat {job}/output/* | sha256sum", check=0).stdout
    b = sh(f"cat {job}/output/* | sha256sum", check=0).stdout
    c = sh(f"sha256sum < {job}/output.jsonl", check=0).stdout
    assert a == b == c
