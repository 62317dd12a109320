"""The work of a sweep: a plan comes in, its steps go to workers in an order that they allow.

`sweeping` makes one `Work` and lets it do it all. What lies in the sweep's folder is the only state;
what another process has claimed there is waited for.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from heapq import heappop, heappush
from typing import Protocol

from rulekit.runs import shared
from rulekit.runs.claims import Claims
from rulekit.runs.execution import TRIES
from rulekit.runs.records import data_read, provenance, run_record
from rulekit.runs.step import broken
from rulekit.runs.sweep_plan import Plan, PlannedRun

_TICK = 1.0  # seconds between two looks at what others do


class Workers(Protocol):
    """Who does tasks; see `rulekit.runs.workers.Processes`."""

    def start(self, key: object, task: dict) -> None: ...

    def wait(self, seconds: float) -> list[tuple[object, dict]]: ...

    def close(self) -> None: ...


class Work:
    """The steps and runs that are still to be done, and which are under way."""

    def __init__(self, folder, plan: Plan, wanted, pool: Workers, claims: Claims, shown) -> None:
        self.folder, self.plan, self.wanted = folder, plan, wanted
        self.pool, self.claims, self.shown = pool, claims, shown
        self.place = {address: i for i, address in enumerate(plan.steps)}
        self.done = {
            a for a in plan.steps if (shared.step_folder(folder, a) / "step.json").is_file()
        }
        self.failed = {a for a in plan.steps if self._is_failed(a)} - self.done
        self.needed = {a for run in wanted for a in run.steps}
        self.users: dict[str, list[str]] = {a: [] for a in plan.steps}
        for address in self.needed:
            for earlier in plan.steps[address].before:
                self.users[earlier].append(address)
        self.runs_of: dict[str, list[PlannedRun]] = {a: [] for a in plan.steps}
        for run in wanted:
            for address in run.steps:
                self.runs_of[address].append(run)
        self.shared_by = plan.shared_by()
        self.ready: list[tuple[int, str]] = []
        self.elsewhere: set[str] = set()
        self.tries: Counter[str] = Counter()
        self.under_way: set[object] = set()
        self.to_assemble: list[PlannedRun] = []
        self.ended: set[str] = set()
        self.about = provenance(plan.recipe, [])

    def all(self, at_once: int) -> None:
        """Do it all."""
        for address in self.needed - self.done - self.failed:
            self._offer(address)
        for run in self.wanted:
            self._look_at(run)
        while len(self.ended) < len(self.wanted):
            while len(self.under_way) < at_once and self._start_one():
                pass
            for key, outcome in self.pool.wait(_TICK) if self.under_way else self._rest():
                self.under_way.discard(key)
                self._take(key, outcome)
            self.claims.renew()
            self._look_elsewhere()
            self.shown.update(self.done, self.failed, self.ended, self.under_way)

    def _rest(self) -> list:
        if not self.to_assemble and not self.ready:
            time.sleep(_TICK)  # others do what is left
        return []

    def _offer(self, address: str) -> None:
        """Make a step ready if all before it are done."""
        if address not in self.done and set(self.plan.steps[address].before) <= self.done:
            heappush(self.ready, (self.place[address], address))

    def _start_one(self) -> bool:
        """Start an assembly or a step; False if none can be started."""
        while self.to_assemble:
            run = self.to_assemble.pop(0)
            if not self.claims.take(f"run-{run.name}"):
                self.ended.add(run.name)  # another makes it
                continue
            self._begin(("run", run.name), self._assembly(run))
            return True
        while self.ready:
            _, address = heappop(self.ready)
            if not self.claims.take(address):
                self.elsewhere.add(address)
                continue
            if self._is_done(address):  # by another, meanwhile
                self.claims.release(address)
                self._finish(address, "done")
                continue
            step = self.plan.steps[address]
            told = {
                "notebook": step.notebook,
                "name": step.name,
                "nth": step.nth,
                "parameters": step.parameters,
                "artefacts": step.artefacts,
            }
            task = {"do": "step", "sweep": str(self.folder), "address": address, "step": told}
            self._begin(("step", address), task | {"before": list(step.before)})
            return True
        return False

    def _begin(self, key: tuple[str, str], task: dict) -> None:
        self.under_way.add(key)
        self.pool.start(key, task)

    def _take(self, key: tuple[str, str], outcome: dict) -> None:
        """What follows from the end of a task."""
        kind, name = key
        if kind == "run":
            if outcome["status"] != "done":
                said = outcome.get("said", "").strip().splitlines()[-1:] or [""]
                self.shown.line(f"{name}: its folder could not be made: {said[0]}")
            self.claims.release(f"run-{name}")
            self.ended.add(name)
            return
        step = self.plan.steps[name]
        if outcome["status"] == "broken":
            outcome = broken(shared.running_folder(self.folder, name), step.name, outcome)
        if outcome["status"] == "lost" and self.tries[name] < TRIES - 1:
            self.tries[name] += 1
            self.claims.release(name)
            self._offer(name)
            return
        if outcome["status"] != "done" and not self._is_failed(name):
            shared.record_failure(self.folder, name, step.name, outcome)
        self.claims.release(name)
        self._finish(name, "done" if outcome["status"] == "done" else "failed", outcome)

    def _finish(self, address: str, status: str, outcome: dict | None = None) -> None:
        """Go on with what waited for a step."""
        self.elsewhere.discard(address)
        if status == "done":
            self.done.add(address)
            self.shown.timed(address)
            for user in self.users[address]:
                self._offer(user)
        else:
            self.failed.add(address)
            runs = self.runs_of[address]
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            error = (outcome or {}).get("error") or "failed elsewhere"
            self.shown.line(f"{runs[0].name}{more}: {error}")
        for run in self.runs_of[address]:
            self._look_at(run)

    def _look_at(self, run: PlannedRun) -> None:
        """Assemble a run if nothing of it is left to do."""
        lost = {
            a for a in run.steps if a in self.failed or set(self.plan.steps[a].before) & self.failed
        }
        if run.name in self.ended or not all(a in self.done or a in lost for a in run.steps):
            return
        if run not in self.to_assemble:
            if not lost and self._is_assembled(run):
                self.ended.add(run.name)
            else:
                self.to_assemble.append(run)

    def _look_elsewhere(self) -> None:
        """See what others have finished, failed, or given up."""
        for address in list(self.elsewhere):
            if self._is_done(address):
                self._finish(address, "done")
            elif not self.claims.take(address):
                continue
            else:  # whoever held it has given it back, or is gone
                self.claims.release(address)
                if self._is_failed(address):
                    self._finish(address, "failed")
                else:
                    self.elsewhere.discard(address)
                    self._offer(address)

    def _is_done(self, address: str) -> bool:
        return (shared.step_folder(self.folder, address) / "step.json").is_file()

    def _is_failed(self, address: str) -> bool:
        return (shared.failed_folder(self.folder, address) / "step.json").is_file()

    def _is_assembled(self, run: PlannedRun) -> bool:
        path = self.folder / "runs" / run.name / "run.json"
        if not path.is_file():
            return False
        told = json.loads(path.read_text(encoding="utf-8"))
        return told["status"] == "done" and [s["address"] for s in told["steps"]] == list(run.steps)

    def _assembly(self, run: PlannedRun) -> dict:
        """The task that makes a run's folder."""
        told = []
        for address in (a for a in run.steps if a in self.done | self.failed):
            place = shared.step_folder if address in self.done else shared.failed_folder
            one = json.loads((place(self.folder, address) / "step.json").read_text("utf-8"))
            told.append(one | {"shared_by": self.shared_by[address]})
        steps = [
            {"notebook": step.notebook, "parameters": step.parameters}
            for step in (self.plan.steps[a] for a in run.steps)
        ]
        about = self.about | {
            "steps": steps,
            "data_sha256": data_read(steps),
            "sweep": self.folder.name,
            "run": run.name,
            "code": self.plan.code,
        }
        record = run_record(run.name, self.plan.recipe, told, run.parameters, run.swept)
        return {"do": "run", "sweep": str(self.folder), "run": record, "about": about}
