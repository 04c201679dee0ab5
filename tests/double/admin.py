"""The double's own interface, for programs that are not Python: paths below /-/.

	GET  /-/jobs                   name, ARN, status and history of each
	GET  /-/requests               operation -> {count, bytes_in, bytes_out}
	GET  /-/bought                 {asked, bought, records, most_bought, at_once_most} on demand
	POST /-/knobs {"end": "Expired", ...}      as Double.setting(), for good; {"fates": {"4":
	                                           {"end": "Expired"}}} of the fourth job alone
	POST /-/faults {"operation", "kind", "count", "skip", "value"}
	POST /-/clear                  no faults, and nothing seen yet
	POST /-/plant {"count": 10000, "status": "Completed"}
	POST /-/expire                 ends all sessions
	GET  /-/credentials?seconds=S  a new session, as credential_process prints it
"""

import json

from batchjobs import iso
from plane import Answer

SESSION_ARN = "arn:aws:sts::111122223333:assumed-role/dev/session"


def totals(double):
    found = {}
    for seen in double.seen():
        row = found.setdefault(seen.operation, {"count": 0, "bytes_in": 0, "bytes_out": 0})
        row["count"] += 1
        row["bytes_in"] += seen.bytes_in
        row["bytes_out"] += seen.bytes_out
    return found


def set_knobs(double, values):
    for name, value in values.items():
        for owner in (double.plane.knobs, double.plane, double.runtime, double.friends,
                      double):
            if hasattr(owner, name):
                setattr(owner, name, value)
                break
        else:
            raise ValueError(f"no knob {name}")


def serve_admin(double, request):
    what = request.path[3:]
    try:
        body = json.loads(request.body) if request.body else {}
        if what == "jobs":
            return Answer(200, [{"name": j.name, "arn": j.arn, "status": j.status,
                                 "history": j.history} for j in double.jobs()])
        if what == "requests":
            return Answer(200, totals(double))
        if what == "bought":
            return Answer(200, double.runtime.summary())
        if what == "knobs":
            set_knobs(double, body)
        elif what == "faults":
            double.fault(**body)
        elif what == "clear":
            double.clear_faults()
            with double.lock:
                double.requests.clear()
        elif what == "plant":
            double.plant(**body)
        elif what == "expire":
            double.keyring.expire()
        elif what == "credentials":
            key = double.mint(SESSION_ARN, float(request.query.get("seconds", 3600)))
            return Answer(200, {"Version": 1, "AccessKeyId": key.access_key,
                                "SecretAccessKey": key.secret_key, "SessionToken": key.token,
                                "Expiration": iso(key.expires)})
        else:
            return Answer(404, {"message": "no such thing"})
        return Answer(200, {})
    except (TypeError, ValueError) as e:
        return Answer(400, {"message": str(e)})
