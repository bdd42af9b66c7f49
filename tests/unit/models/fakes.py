"""Replicas of a model server that answer ten calls a second, and a place for rollouts in memory."""

from __future__ import annotations

import json
from itertools import count

from services.mesh import errors
from services.mesh.repository import UNLOADED, Held, Served
from services.models.pipelines.kept import Record

MODEL = "m"


class FakeReplica:
    """A model server. repository: by version, share of calls that fail and seconds of the others, or "broken"."""

    def __init__(self, name, repository, *, serves=1):
        self.name = name
        self.repository = dict(repository)
        self.serves = serves
        self.counts = dict.fromkeys(self.repository, Served())
        self.calls = 10
        self.loads = []
        self.silent = False
        self.reason = ""
        self.before_load = None

    def tick(self):
        """A second goes by."""
        if self.serves is None or self.silent:
            return
        wrong, each = self.repository[self.serves]
        failed = round(self.calls * wrong)
        answered = self.calls - failed
        self.counts[self.serves] += Served(answered, failed, answered * each)

    def restart(self):
        """It begins anew, with the newest that can be loaded."""
        newest = max(self.repository)
        broken = self.repository[newest] == "broken"
        self.serves, self.reason = (None, "no model.py") if broken else (newest, "")
        self.counts = dict.fromkeys(self.repository, Served())

    def _answer(self):
        if self.silent:
            raise errors.Unavailable(f"{self.name} does not answer", reason="TRITON_UNREACHABLE")

    async def held(self):
        self._answer()
        if self.serves is None:
            if not self.reason:
                return [Held(MODEL, 0, "")]
            # The one that was served before, if another took over from it, is known as well.
            before = [Held(MODEL, 1, "UNAVAILABLE", UNLOADED)] if 2 in self.loads else []
            return [*before, Held(MODEL, 2, "UNAVAILABLE", self.reason)]
        return [Held(MODEL, self.serves, "READY"), Held("other", 7, "READY")]

    async def configuration(self, model):
        self._answer()
        return json.dumps({"name": model, "version_policy": {"latest": {"num_versions": 1}}})

    async def load(self, model, configuration=""):
        self._answer()
        if self.before_load:
            await self.before_load(self)
        chosen = max(self.repository)
        if configuration:
            [chosen] = json.loads(configuration)["version_policy"]["specific"]["versions"]
        self.loads.append(chosen)
        if self.repository[chosen] == "broken":
            raise errors.FailedPrecondition(f"{self.name}: failed to load {model!r}: no model.py", reason="LOAD_FAILED")
        if self.serves != chosen:
            self.counts[chosen] = Served()
        self.serves = chosen

    async def unload(self, model):
        self._answer()
        self.serves, self.reason = None, UNLOADED

    async def served(self, model, version):
        self._answer()
        return self.counts[version] if version == self.serves else Served()


class FakeFleet:
    """All of them. gone: the names of those that there are no more."""

    def __init__(self, members):
        self.members = members
        self.gone = set()

    async def replicas(self):
        return [each for each in self.members if each.name not in self.gone]


class Memory:
    """Keeps rollouts; `away` makes it unreachable."""

    def __init__(self):
        self.records = {}
        self.away = False
        self.writes = 0
        self._revisions = count(1)

    def _reach(self):
        if self.away:
            raise errors.Unavailable("away", reason="STATE_UNREACHABLE")

    async def list(self):
        self._reach()
        return list(self.records.values())

    async def create(self, rollout):
        self._reach()
        if rollout.model in self.records:
            raise errors.AlreadyExists("there is one")
        return self._set(rollout)

    async def replace(self, record, rollout):
        self._reach()
        held = self.records.get(rollout.model)
        if held is None or held.revision != record.revision:
            raise errors.Aborted("changed")
        return self._set(rollout)

    async def delete(self, record):
        self._reach()
        self.records.pop(record.rollout.model, None)

    def _set(self, rollout):
        self.writes += 1
        record = self.records[rollout.model] = Record(rollout, str(next(self._revisions)))
        return record
