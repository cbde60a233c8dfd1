"""A gate's verdict as lines, as JUnit XML for CI, and as Markdown for a job's summary."""

from __future__ import annotations

from xml.etree import ElementTree

from harness.compare.gate import Check, Gate
from harness.report import grid
from harness.report.escape import clean
from harness.report.grid import BAD, GOOD, Grid, Row, Text


def lines(gate: Gate) -> list[str]:
    """One line a check, failures last, then the verdict."""
    failed = set(gate.failures)
    passed = [check for check in gate.checks if check not in failed]
    shown = [*(f"{_word(gate, check)}  {_line(check)}" for check in [*passed, *gate.failures]), verdict(gate)]
    return [clean(line) for line in shown]


def verdict(gate: Gate) -> str:
    """The last line."""
    against = f" against {gate.baseline}" if gate.baseline else ""
    if gate.open:
        return f"{gate.run} passes{against}: {len(gate.checks)} checks"
    return f"{gate.run} does not pass{against}: {len(gate.failures)} of {len(gate.checks)} checks failed"


def _line(check: Check) -> str:
    return f"{check.row} {check.rule}: {check.reason}"


def _word(gate: Gate, check: Check) -> str:
    if check in gate.failures:
        return "FAIL"
    return "pass" if check.status == "pass" else "open"


def junit(gate: Gate) -> str:
    """One test case a check."""
    failures = gate.failures
    counts = {"tests": str(len(gate.checks)), "failures": str(len(failures)), "errors": "0"}
    suite = ElementTree.Element("testsuite", {"name": clean(f"harness gate {gate.run}"), **counts})
    for check in gate.checks:
        names = {"classname": clean(f"harness.gate.{check.row}"), "name": clean(f"{check.row} {check.rule}")}
        case = ElementTree.SubElement(suite, "testcase", names)
        if check in failures:
            ElementTree.SubElement(case, "failure", {"message": clean(check.reason), "type": check.status})
        else:
            ElementTree.SubElement(case, "system-out").text = clean(check.reason)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def markdown(gate: Gate) -> str:
    """A table of the checks, failures first."""
    failures = gate.failures
    rows = []
    for check in [*failures, *(check for check in gate.checks if check not in failures)]:
        bad = check in failures
        cells = (check.row, check.rule, _word(gate, check), check.reason)
        rows.append(Row(tuple(Text(text, bold=bad, tone=BAD if bad else GOOD) for text in cells)))
    return grid.markdown(Grid(("Benchmark", "Rule", "Verdict", "Reason"), tuple(rows), (), verdict(gate)))
