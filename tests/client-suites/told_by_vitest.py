"""Turns vitest's JSON report into what pytest_told.py tells. connect-redis' few tests ask the node something, except
those that would begin and end a server."""

import json
import sys

with open(sys.argv[1]) as report:
    files = json.load(report)["testResults"]
for test in (test for file in files for test in file["assertionResults"]):
    print(json.dumps({
        "name": test["fullName"],
        "outcome": {"passed": "passed", "failed": "failed"}.get(test["status"], "skipped"),
        "words": "\n".join(test.get("failureMessages", [])),
        "commands": int(test["title"] not in ("setup", "teardown")),
        "unknown": 0,
    }))
