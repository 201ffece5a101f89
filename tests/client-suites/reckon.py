"""Reckons what client-suites.sh was told: how many tests pass of those that use only what is here.

    reckon.py EXCEPTIONS SUITE=TOLD ...

EXCEPTIONS is tests/client-suites.txt (its head says what is in a line). Exits with 1 if a test fails that is not in
it, or less than 97 % pass.
"""

import collections
import fnmatch
import json
import re
import sys

LEAST = 97.0
UNKNOWN = re.compile(r"unknown command '?([\w.|]+)", re.I)


def exceptions(path):
    """(class, suite, pattern, reason) of each line."""
    found, reason = [], []
    with open(path) as lines:
        for line in lines:
            line = line.strip()
            if line.startswith("#"):
                reason.append(line.lstrip("# "))
            elif line:
                kind, suite, pattern = line.split(None, 2)
                if kind not in ("absent", "differs"):
                    sys.exit(f"{path}: {kind} is neither absent nor differs")
                found.append((kind, suite, pattern, " ".join(reason)))
            else:
                reason = []
    return found


def main():
    listed = exceptions(sys.argv[1])
    used, passed, commands = set(), collections.Counter(), collections.Counter()
    absent, differs, wrong = [], [], []
    for argument in sys.argv[2:]:
        suite, path = argument.split("=", 1)
        with open(path) as lines:
            tests = [json.loads(line) for line in lines]
        if not any(test["outcome"] == "passed" for test in tests):
            sys.exit(f"{suite}: no test passed; it did not run")
        for test in tests:
            where = f"{suite} {test['name']}"
            if test["outcome"] == "skipped":
                continue
            if test["outcome"] == "passed":
                # One that asked the node nothing proves nothing about it.
                passed[suite] += test["commands"] > 0
                continue
            line = next((l for l in listed if l[1] == suite and fnmatch.fnmatchcase(test["name"], l[2])), None)
            if line:
                used.add(line)
                (absent if line[0] == "absent" else differs).append((where, line[3]))
            elif test["unknown"]:
                names = {name.lower() for name in UNKNOWN.findall(test["words"])} or {"(seen by the node alone)"}
                commands[min(names)] += 1
            else:
                words = [word for word in test["words"].splitlines() if word.strip()]
                wrong.append((where, (words or ["?"])[-1].strip()[:200]))
    for line in listed:
        if line not in used:
            print(f"no longer fails, or is not there: {line[1]} {line[2]}")
    print(f"left out, for they use commands that are not here: {sum(commands.values())} ("
          + ", ".join(f"{name} {count}" for name, count in sorted(commands.items())) + ")")
    print(f"left out, for they ask for something else that is not here: {len(absent)}")
    for where, why in differs:
        print(f"fails as told in client-suites.txt: {where}: {why}")
    for where, why in wrong:
        print(f"FAILS: {where}: {why}")
    good, bad = sum(passed.values()), len(differs) + len(wrong)
    share = 100 * good / (good + bad)
    print(", ".join(f"{suite} {count}" for suite, count in passed.items())
          + f": {good} of {good + bad} pass ({share:.1f} %), {len(wrong)} fail that should not")
    sys.exit(bool(wrong) or share < LEAST)


main()
