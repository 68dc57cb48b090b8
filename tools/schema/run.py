"""Holds the running server to its own OpenAPI document: schemathesis makes requests from it, good and bad, and checks each answer.

    make test-schema                # over 2,000 requests, half a minute
    make test-schema SCHEMA=--long  # over 5,000, some minutes

The server runs the smallest test model: what is asked here is whether it keeps its contract, not what it sees. Its log and
schemathesis' own files are left in build/schema. The seed is fixed (schemathesis.toml), so two runs ask the same.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build" / "schema"

# Cases for each operation that schemathesis may make up, beside those that the document itself implies, and the least
# that must come of it: a run that asked next to nothing would be green, too.
SHORT, LONG = (200, 2000), (1000, 5000)


def serve(log: Path) -> tuple[subprocess.Popen, str]:
    """A server on a free port, ready, and its address."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [ROOT / "bin/vidi", "serve", "--addr", "127.0.0.1:0", "--model", ROOT / "build/fixtures/tiny.pt"], stderr=file
        )
    for _ in range(600):
        said = log.read_text()
        if " msg=ready " in said:
            return process, re.search(r"http://[0-9.:]+", said).group()
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    sys.exit(f"test-schema: the server did not become ready:\n{log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="over 5,000 requests")
    examples, least = LONG if parser.parse_args().long else SHORT

    shutil.rmtree(OUT, ignore_errors=True)  # with what schemathesis remembers of the last run: each is to be the same
    OUT.mkdir(parents=True)
    log = OUT / "server.log"
    server, url = serve(log)
    try:
        command = [Path(sys.executable).parent / "st", "--config-file", HERE / "schemathesis.toml", "run", url + "/openapi.yaml"]
        command += ["--max-examples", str(examples), "--continue-on-failure", "--no-color"]
        run = subprocess.run(
            command, cwd=OUT, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    finally:
        server.terminate()
        stopped = server.wait(60)
    print(run.stdout)
    problems = []
    if run.returncode:
        problems.append("schemathesis found violations of service/openapi/openapi.yaml")
    cases = re.search(r"(\d+) generated", run.stdout)
    if not cases or int(cases.group(1)) < least:
        problems.append(f"there were fewer than {least} cases")
    # A deadline that a request set itself is no fault; what else ends in a 5xx, or in none at all, is.
    faults = [line for line in log.read_text().splitlines() if ("level=ERROR" in line or "panic" in line) and "code=deadline_exceeded" not in line]
    if faults:
        problems.append("the server logged faults:\n" + "\n".join(faults[:10]))
    if stopped != 0:
        problems.append(f"the server ended with {stopped}")
    if problems:
        sys.exit("test-schema: " + "\n".join(problems))
    print(f"test-schema: {cases.group(1)} requests, no violation")


if __name__ == "__main__":
    main()
