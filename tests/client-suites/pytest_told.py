"""A plugin of pytest that tells, for each test, how it went and what the node was asked meanwhile.

One line of JSON per test to the file TOLD: name, outcome (passed, failed, skipped), the words of the failure, how
many commands the node (METRICS is the address of its counters) was sent, and how many of them it does not have.
"""

import json
import os
import urllib.request

import pytest

COUNTERS = os.environ.get("METRICS")
TOLD = open(os.environ["TOLD"], "a", buffering=1)


def asked():
    """Commands since the node began, and the unknown ones among them."""
    if not COUNTERS:
        return 0, 0
    with urllib.request.urlopen(COUNTERS, timeout=10) as page:
        lines = [line for line in page.read().decode().splitlines() if line.startswith("henge_resp_commands_total{")]
    total = sum(int(line.split()[-1]) for line in lines)
    unknown = sum(int(line.split()[-1]) for line in lines if 'command="unknown"' in line)
    return total, unknown


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.told = {"name": item.nodeid, "outcome": "passed", "words": ""}
    total, unknown = asked()
    yield
    after, unknown_after = asked()
    item.told.update(commands=after - total, unknown=unknown_after - unknown)
    TOLD.write(json.dumps(item.told) + "\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.told["outcome"] = "failed"
        item.told["words"] += f" {report.when}: {report.longreprtext}"
    elif report.skipped and item.told["outcome"] == "passed":
        # What is expected to fail counts as skipped, as pytest has it.
        item.told["outcome"] = "skipped"
