"""Rows of Service Quotas on batch inference, as the knobs have them; a row a model and limit.

Names are told apart by people alone, and so each spelling that was met is one here.
"""

GB = 10**9
KINDS = [  # knob, name up to the model, divided by
    ("min_records", "Minimum number of records per batch inference job", 1),
    ("max_records_file", "Records per input file per batch inference job", 1),
    ("max_records_job", "Records per batch inference job", 1),
    ("max_file_bytes", "Batch inference input file size (in GB)", GB),
    ("max_job_bytes", "Batch inference job size (in GB)", GB),
    ("max_jobs", "Sum of in-progress and submitted batch inference jobs using a base model", 1),
]


def jobs_max(knobs, model):
    return knobs.max_jobs_of.get(model.id, knobs.max_jobs)


def named(head, model, spelling):
    name = f"{head} for {model.name}"
    if spelling == "dot":
        return name + "."
    if spelling == "unit last" and " (in GB)" in head:
        return f"{head.replace(' (in GB)', '')} for {model.name} (in GB)"
    if spelling == "maker":
        return f"{head} for {model.provider} {model.name}"
    return name


def quota_rows(knobs, models, spellings=("plain",)):
    """name -> value; the spellings take turns."""
    rows = {}
    for number, model in enumerate(m for m in models if m.batch):
        for knob, head, unit in KINDS:
            value = jobs_max(knobs, model) if knob == "max_jobs" else getattr(knobs, knob)
            name = named(head, model, spellings[number % len(spellings)])
            rows[name] = value / unit if unit > 1 else value
    return rows
