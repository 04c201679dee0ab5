"""No secret in a log, a file, argv or a core dump: they are looked for."""

import os
import subprocess

import pytest

from bedrockkit import CLAUDE
from inputs import records


def haystacks(mount):
    """(where, bytes) of everything that the daemon wrote or shows."""
    yield "log", mount.log.read_bytes()
    with open(f"/proc/{mount.proc.pid}/cmdline", "rb") as f:
        yield "argv", f.read()
    for top in (mount.state, mount.cache, mount.dir):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    with open(path, "rb") as f:
                        yield path, f.read()
                except OSError:
                    pass


def search(mount, secrets):
    found = [(where, s[:6]) for where, data in haystacks(mount) for s in secrets
             if s.encode() in data]
    assert not found


@pytest.mark.parametrize("how", ["environment", "process", "bearer"])
def test_no_secret_is_in_any_file_or_log(new_bedrock, cloud, how):
    mount = new_bedrock()
    mount.extra = ("-d",)
    if how == "process":
        mount.use_process()
    elif how == "bearer":
        cloud.double.keyring.add_bearer("bedrock-api-key-secret-0123456789")
        mount.variables["AWS_BEARER_TOKEN_BEDROCK"] = "bedrock-api-key-secret-0123456789"
    mount.start()
    cloud.double.fault("CreateModelInvocationJob", "500", 1)
    cloud.double.fault("ListModelInvocationJobs", "expired", 1)
    cloud.double.fault("CreateModelInvocationJob", "error", 1, value=(
        403, "InvalidSignatureException", "The request signature we calculated does not match"))
    cloud.front.fault("PutObject", "reset", 1)
    cloud.front.fault("GetObject", "expired", 1)
    job = mount.job("one")
    job.fill(records(5), CLAUDE)
    if job.wait_state("Completed", "Invalid", timeout=60) == "Invalid":
        (job / "model").write_text(CLAUDE + "\n")
        job.wait_end(40)
    if how == "bearer":
        assert any(r.access_key == "" for r in cloud.double.seen()), "the key was not used"
    search(mount, cloud.double.keyring.secrets())


def test_no_secret_is_in_a_core_dump(new_bedrock, cloud, base):
    """Either there is no core at all, or what is in it does not hold a secret."""
    mount = new_bedrock().start()
    mount.run_job("one", records(5))
    with open(f"/proc/{mount.proc.pid}/limits", encoding="ascii") as f:
        limit, = [row.split()[4] for row in f if row.startswith("Max core file size")]
    if limit == "0":
        return
    pid = mount.proc.pid
    subprocess.run(["prlimit", f"--pid={pid}", "--core=unlimited"], check=False)
    core = base / f"core.{pid}"
    done = subprocess.run(["gcore", "-o", str(base / "core"), str(pid)], capture_output=True,
                          check=False) if os.path.exists("/usr/bin/gcore") else None
    if done is None or not core.exists():
        pytest.skip("cores are allowed here, and there is no gcore to make one")
    data = core.read_bytes()
    assert not [s[:6] for s in cloud.double.keyring.secrets() if s.encode() in data]
