"""The official JavaScript SDK as a second client: installed once, called as a program.

	sdk = Sdk(double.variables())
	sdk("GetModelInvocationJob", jobIdentifier=arn)["status"]

The packages are fetched by `npm ci` (no scripts run) into build-sdk/ of the tree, which is
kept from run to run.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTALL_S = 180


class SdkError(Exception):
    def __init__(self, name, message, status, typed):
        super().__init__(f"{name} ({status}): {message}")
        self.name, self.message, self.status, self.typed = name, message, status, typed


class Unavailable(Exception):
    """Why there is no SDK here."""


def install():
    """The directory with the packages in it, or Unavailable."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")
    lock = (HERE / "sdk" / "package-lock.json").read_bytes()
    place = ROOT / "build-sdk" / hashlib.sha256(lock).hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "a", encoding="ascii") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (place / "done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / "sdk" / name, place)
            try:
                done = subprocess.run(
                    ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place,
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                    timeout=INSTALL_S)
            except subprocess.TimeoutExpired:
                raise Unavailable("npm ci took too long") from None
            if done.returncode != 0:
                raise Unavailable(f"npm ci failed (no registry?): {done.stderr.strip()[-300:]}")
            (place / "done").touch()
        shutil.copy(HERE / "sdk" / "run.mjs", place)
    return place


class Sdk:
    def __init__(self, variables):
        self.place = install()
        self.variables = variables

    def run(self, *calls, **variables):
        """[(operation, input), ...]: a result each, an SdkError where it was refused."""
        text = json.dumps([{"op": op, "input": given} for op, given in calls])
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env.update({"AWS_MAX_ATTEMPTS": "1", **self.variables, **variables})
        done = subprocess.run(["node", "run.mjs"], cwd=self.place, input=text, env=env,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [SdkError(**r["error"]) if "error" in r else r["output"]
                for r in json.loads(done.stdout)]

    def __call__(self, op, **given):
        result = self.run((op, given))[0]
        if isinstance(result, SdkError):
            raise result
        return result


try:
    import pytest
except ImportError:
    pass
else:
    @pytest.fixture(scope="session")
    def sdk_place():
        try:
            return install()
        except Unavailable as e:
            pytest.skip(f"the official SDK: {e}")
