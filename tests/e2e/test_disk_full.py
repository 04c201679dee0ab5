"""docs/semantics.md, "A full disk": ENOSPC where it is written, and nothing breaks."""

import os
import subprocess

import pytest

from inputs import records
from mountkit import sh


@pytest.fixture
def small(new_mount):
    """A mount whose state and cache lie on 24 MiB."""
    mount = new_mount()
    disk = mount.base / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)],
                          capture_output=True)
    if done.returncode != 0:
        pytest.skip("tmpfs can not be mounted here")
    mount.state, mount.cache = disk / "state", disk / "cache"
    yield mount.start()
    mount.stop()
    subprocess.run(["umount", str(disk)], check=True)


def test_cp_of_too_much_gets_enospc_and_the_mount_works_on_after_cleaning(small, base):
    (base / "in.jsonl").write_bytes(b"".join(records(1500, text="x" * 20_000)))
    job = small.job("one")
    done = sh(f"cp {base}/in.jsonl {job}/input.jsonl")
    assert done.returncode != 0 and "No space left" in done.stderr
    assert small.alive() and job.status() in ("Draft", "Invalid")
    sh(f"rm {job}/input.jsonl", check=0)
    assert small.run("two", records(50)).status() == "Completed"


def test_a_disk_that_fills_up_while_a_job_runs_loses_nothing(small, base):
    job = small.job("one")
    job.fill(records(60, text="x" * 20_000), "builtin.slow", "delay_ms = 200\n")
    job.wait_state("InProgress")
    filler = small.state.parent / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"x" * 65536)
                f.flush()
        except OSError:
            pass
    sh("sleep 2")
    assert small.alive()
    job.status()
    os.unlink(filler)
    assert job.wait_end(40) in ("Completed", "CompletedWithErrors", "Stopped", "Failed",
                                "PartiallyCompleted")
    for _ in range(3):
        if job.status() == "Completed":
            break
        job.ctl("retry")
        job.wait_state("Completed", "CompletedWithErrors", timeout=30)
    assert job.status() == "Completed"
    assert len(job.lines()) == 60
