#!/usr/bin/python3
"""Writes conversations.jsonl: short counselling conversations to be audited.

All of it is invented.  The same bytes at each run: nothing is drawn at random;
which pieces meet is arithmetic, and no two records are alike.

    docs/examples/make_conversations.py > docs/examples/conversations.jsonl
"""

import json
import signal
import sys

from conversation_texts import ABROAD, CLOSINGS, TASKS, THEMES

SYSTEM = "You audit conversations of a counselling service. Be brief, kind and concrete."
PER_THEME = 12


def record(number, messages, max_tokens=400):
    return {"recordId": f"conv-{number:04d}",
            "modelInput": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": max_tokens,
                           "system": SYSTEM, "messages": messages}}


def transcript(turns, task):
    speakers = ("Client", "Counsellor")
    lines = [f"{speakers[i % 2]}: {turn}" for i, turn in enumerate(turns)]
    return [{"role": "user", "content": "\n".join(lines) + f"\n\n{task}"}]


def chat(turns, task):
    """The same as turns of a chat, in blocks, with the auditor's question last."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": [{"type": "text", "text": turn}]}
                for i, turn in enumerate(turns[:3])]
    messages[-1]["content"].append({"type": "text", "text": task})
    return messages


def conversation(theme, index, turn):
    """Conversation turn (0..11) of a theme: each opening comes twice, in other company."""
    again = turn // len(theme["openings"])
    opening = theme["openings"][turn % len(theme["openings"])]
    detail = theme["details"][(turn + again + index) % len(theme["details"])]
    reply = theme["replies"][(turn * 3 + again + index) % len(theme["replies"])]
    follow = theme["follow_ups"][(turn + 2 * again + index) % len(theme["follow_ups"])]
    closing = CLOSINGS[(turn * 5 + index * 7) % len(CLOSINGS)]
    return [f"{opening} {detail}", reply, follow, closing]


def main():
    records = []
    for turn in range(PER_THEME):
        for index, theme in enumerate(THEMES):
            turns = conversation(theme, index, turn)
            task = TASKS[(turn + index * 3) % len(TASKS)]
            shape = chat if (turn + index) % 3 == 2 else transcript
            records.append(record(len(records) + 1, shape(turns, task), 300 + 50 * (turn % 4)))
        for turns in ABROAD[2 * turn:2 * turn + 2]:
            records.append(record(len(records) + 1, transcript(turns[:-1], turns[-1])))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is enough
    for item in records:
        sys.stdout.write(json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
