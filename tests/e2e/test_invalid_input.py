"""docs/semantics.md, "What input.jsonl must be": every fault is named with line, column and cure."""

import errno
import re
import subprocess

import pytest

from inputs import record, records
from mountkit import sh, until

GOOD = records(3)
PLACE = re.compile(r"^input\.jsonl:(\d+):(\d+): (.+)$")


def after_good(bad):
    return GOOD + [bad]


# (what, lines, line of the fault, column of the fault or None)
FAULTS = [
    ("not JSON at all", after_good(b"hello\n"), 4, 1),
    ("a missing brace", after_good(b'{"recordId":"x","modelInput":{}\n'), 4, None),
    ("a trailing comma", after_good(b'{"recordId":"x","modelInput":{},}\n'), 4, 33),
    ("single quotes", after_good(b"{'recordId':'x'}\n"), 4, 2),
    ("a number that is none", after_good(b'{"recordId":"x","modelInput":{"a":01}}\n'), 4, None),
    ("NaN", after_good(b'{"recordId":"x","modelInput":{"a":NaN}}\n'), 4, 35),
    ("a raw tab in a string", after_good(b'{"recordId":"x\ty","modelInput":{}}\n'), 4, None),
    ("a lone escape", after_good(b'{"recordId":"\\x","modelInput":{}}\n'), 4, None),
    ("an array", after_good(b"[1,2]\n"), 4, 1),
    ("a string", after_good(b'"text"\n'), 4, 1),
    ("two objects on one line", after_good(record("x")[:-1] + record("y")), 4, None),
    ("no modelInput", after_good(b'{"recordId":"x"}\n'), 4, None),
    ("modelInput is a string", after_good(b'{"recordId":"x","modelInput":"hi"}\n'), 4, None),
    ("modelInput is null", after_good(b'{"recordId":"x","modelInput":null}\n'), 4, None),
    ("modelInput is a list", after_good(b'{"recordId":"x","modelInput":[]}\n'), 4, None),
    ("recordId is a number", after_good(b'{"recordId":7,"modelInput":{}}\n'), 4, None),
    ("recordId is null", after_good(b'{"recordId":null,"modelInput":{}}\n'), 4, None),
    ("recordId twice in the file", after_good(GOOD[0]), 4, None),
    ("an empty line", GOOD[:1] + [b"\n"] + GOOD[1:], 2, None),
    ("a line of spaces", GOOD[:1] + [b"   \n"] + GOOD[1:], 2, None),
    ("a byte order mark", [b"\xef\xbb\xbf" + GOOD[0]] + GOOD[1:], 1, 1),
    ("invalid UTF-8", after_good(b'{"recordId":"\xff","modelInput":{}}\n'), 4, 14),
    ("an overlong UTF-8 form", after_good(b'{"recordId":"\xc0\xaf","modelInput":{}}\n'), 4, None),
    ("a surrogate in UTF-8", after_good(b'{"recordId":"\xed\xa0\x80","modelInput":{}}\n'), 4, None),
    ("UTF-16", ["".join(['{"a":1}\n']).encode("utf-16")], 1, 1),
    ("a NUL byte", after_good(b'{"recordId":"x","modelInput":{}}\0\n'), 4, None),
    ("too deep", after_good(b'{"recordId":"x","modelInput":{"a":' + b"[" * 100_000 +
                            b"]" * 100_000 + b"}}\n"), 4, None),
]


def faults_of(job):
    job.wait_state("Invalid")
    lines = job.read("error").splitlines()
    return [tuple(map(int, m.groups()[:2])) for m in map(PLACE.match, lines) if m], lines


@pytest.mark.parametrize("what,lines,row,column", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_named_with_its_place_and_close_says_einval(mount, name, what, lines, row,
                                                               column):
    job = mount.job(name)
    with pytest.raises(OSError) as caught:
        (job / "input.jsonl").write_bytes(b"".join(lines))
    assert caught.value.errno == errno.EINVAL
    places, text = faults_of(job)
    assert places, text
    assert places[0][0] == row, text
    if column is not None:
        assert places[0][1] == column, text
    assert (job / "input.jsonl").read_bytes() == b"".join(lines), "the bytes stay, to be mended"


@pytest.mark.short
@pytest.mark.parametrize("command", ["cp {src} {job}/input.jsonl", "cat {src} > {job}/input.jsonl",
                                     "tee {job}/input.jsonl < {src}", "mv {src} {job}/input.jsonl",
                                     "dd if={src} of={job}/input.jsonl status=none"])
def test_the_tool_that_wrote_it_exits_non_zero(mount, name, base, command):
    job = mount.job(name)
    (base / "bad.jsonl").write_bytes(b"".join(after_good(b"nonsense\n")))
    done = sh(command.format(src=base / "bad.jsonl", job=job))
    assert done.returncode != 0
    assert "Invalid argument" in done.stderr
    job.wait_state("Invalid")


def test_fsync_says_einval_too(mount, name):
    import os
    job = mount.job(name)
    fd = os.open(job / "input.jsonl", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"nonsense\n")
    with pytest.raises(OSError) as caught:
        os.fsync(fd)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError):
        os.close(fd)


def test_echo_exits_zero_but_status_and_error_tell(mount, name):
    job = mount.job(name)
    sh(f"echo nonsense > {job}/input.jsonl", check=0)
    places, _ = faults_of(job)
    assert places[0] == (1, 1)


def test_a_last_record_cut_short_is_told_after_commit(mount, name):
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(b"".join(GOOD)[:-20])
    (job / "model").write_text("builtin.echo\n")
    places, text = faults_of(job)
    assert places[0][0] == 3, text


def test_a_killed_producer_leaves_an_invalid_job_and_nothing_is_submitted(mount, name):
    job = mount.job(name)
    (job / "model").write_text("builtin.echo\n")
    half = b"".join(GOOD)[:-20]
    proc = subprocess.Popen(["bash", "-c", f"exec cat > {job}/input.jsonl"],
                            stdin=subprocess.PIPE)
    proc.stdin.write(half)
    proc.stdin.flush()
    until(lambda: (job / "input.jsonl").exists() and
          (job / "input.jsonl").stat().st_size == len(half), 5, "cat wrote nothing")
    proc.kill()
    proc.wait()
    job.wait_state("Invalid")


@pytest.mark.parametrize("what,data,count", [
    ("CRLF line ends", b"".join(GOOD).replace(b"\n", b"\r\n"), 3),
    ("no last newline", b"".join(GOOD)[:-1], 3),
    ("CRLF and no last newline", b"".join(GOOD).replace(b"\n", b"\r\n")[:-2], 3),
    ("spaces around", b"  " + GOOD[0][:-1] + b"  \t\n" + GOOD[1], 2),
    ("other members", b'{"note":[1,{"a":null}],"recordId":"x","modelInput":{"prompt":"hi"}}\n', 1),
    ("no ids at all", b"".join(record(None, f"text {i}") for i in range(4)), 4),
    ("escapes in an id", b'{"recordId":"\\u00e9\\n\\"","modelInput":{"prompt":"hi"}}\n', 1),
], ids=lambda v: v if isinstance(v, str) else "")
def test_this_is_accepted(mount, name, what, data, count):
    job = mount.job(name)
    (job / "input.jsonl").write_bytes(data)
    (job / "model").write_text("builtin.echo\n")
    assert job.wait_end() == "Completed"
    assert len(job.lines()) == count


def test_the_same_id_in_two_spellings_is_one_id(mount, name):
    job = mount.job(name)
    data = b'{"recordId":"a","modelInput":{}}\n{"recordId":"\\u0061","modelInput":{}}\n'
    with pytest.raises(OSError):
        (job / "input.jsonl").write_bytes(data)
    assert faults_of(job)[0][0][0] == 2


def test_an_id_like_those_we_give_may_not_collide_with_one(mount, name):
    job = mount.job(name)
    data = record(None) + record("r0000001")
    try:
        (job / "input.jsonl").write_bytes(data)
    except OSError:
        pass
    (job / "model").write_text("builtin.echo\n")
    if job.wait_state("Invalid", "Completed") == "Completed":
        assert len(set(job.lines())) == 2 and len(list((job / "output").iterdir())) == 2


def test_the_first_hundred_faults_are_told_and_how_many_more_there_are(mount, name):
    job = mount.job(name)
    with pytest.raises(OSError):
        (job / "input.jsonl").write_bytes(b"".join(GOOD) + b"nonsense\n" * 150)
    places, lines = faults_of(job)
    assert len(places) == 100
    assert [row for row, _ in places] == list(range(4, 104))
    assert "50" in lines[-1]


def test_error_is_the_text_of_wait_less_words_and_empties_when_mended(mount, name):
    job = mount.job(name)
    (job / "model").write_text("builtin.echo\n")
    sh(f"echo nonsense > {job}/input.jsonl")
    assert sh(f"cat {job}/wait", check=0, timeout=20).stdout == "Invalid\n"
    (job / "input.jsonl").write_bytes(b"".join(GOOD))
    assert job.wait_end() == "Completed"
    assert job.read("error") == ""


def test_removing_the_bad_input_makes_it_a_draft_again(mount, name):
    job = mount.job(name)
    sh(f"echo nonsense > {job}/input.jsonl")
    job.wait_state("Invalid")
    sh(f"rm {job}/input.jsonl", check=0)
    assert job.wait_state("Draft") and job.read("error") == ""
