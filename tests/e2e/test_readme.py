"""README.md: the five-minute tour, command by command, with the answers it promises."""

import re

import pytest

from mountkit import ROOT, need, sh

WORDS = ("Completed", "Stopped", "InProgress", "input.jsonl:1:")


def tour():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.split("## Five minutes")[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", part, re.S)
    for line in "".join(blocks[1:]).splitlines():  # the first one builds and mounts
        if line and not line.startswith("watch "):
            yield line


@pytest.mark.limit(120)
def test_the_tour_of_the_readme_works_as_it_stands(new_mount):
    need("jq")
    mount = new_mount({"settle": "2", "settle_input": "10", "poll": "1"}).start()
    count = 0
    for line in tour():
        command, _, promised = line.partition("#")
        done = sh(command.replace("/path/to/batchfs", str(ROOT)), mount.dir, timeout=60)
        said = done.stdout + done.stderr
        for word in WORDS:
            if promised.strip().startswith(word):
                assert word in said, f"{line}\n{said}"
        if "echo '{" not in command:
            assert done.returncode == 0, f"{line}\n{said}"
        count += 1
    assert count >= 12
