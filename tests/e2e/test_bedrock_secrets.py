"""No secret in a log, a file, argv or a core dump: they are looked for."""

import os
import signal

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
    mount.extra, mount.check_log = ("-d",), lambda: None  # FUSE's own "error: -38" is none
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


def test_a_crash_leaves_no_core(new_bedrock, cloud, base):
    """A core would hold the keys: so there is none, where the kernel would write one."""
    mount = new_bedrock()
    mount.command = lambda *extra, made=mount.command: [
        "sh", "-c", f'ulimit -c unlimited; cd {base}; exec "$@"', "sh", *made(*extra)]
    mount.start()
    mount.run_job("one", records(5))
    pid = mount.proc.pid
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        limits, = [row.split()[4:6] for row in f if row.startswith("Max core file size")]
    assert set(limits) <= {"0", "1"}, "1: none, and no pipe of the kernel's either"
    mount.proc.send_signal(signal.SIGABRT)
    mount.proc.wait(20)
    assert not [f for f in os.listdir(base) if f.startswith("core")]
