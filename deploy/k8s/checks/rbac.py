"""Who may ask the API server for what: as little as can be."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.k8s.checks.rendering import Document, Problem, Rendering, Workload, at, name, reference

# With these a pod could become anybody, or run anything anywhere in the namespace.
_FORBIDDEN_VERBS = frozenset({"*", "escalate", "bind", "impersonate", "deletecollection"})
_FORBIDDEN_RESOURCES = frozenset(
    {"*", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "roles", "rolebindings"}
)
_READING = frozenset({"get", "list", "watch"})
# For people, whom the operator binds to them: `maas cluster` (components/access).
FOR_PEOPLE = frozenset({"maas-viewer", "maas-model-operator", "maas-checker"})


def least_privilege(rendering: Rendering) -> Iterator[Problem]:
    """Roles name what they allow, and nothing by which a pod could get more."""
    for role in rendering.of("Role", "ClusterRole"):
        for rule in role.get("rules") or []:
            for text in _too_much(rule):
                yield Problem(reference(role), text)
            if role["kind"] == "ClusterRole" and not _READING.issuperset(rule.get("verbs") or []):
                yield Problem(reference(role), "changes the whole cluster: the mesh needs only its namespace")
    for role in rendering.of("ClusterRole"):
        if name(role) not in FOR_PEOPLE:
            yield Problem(reference(role), "is for the whole cluster: a Role is enough for the mesh")
    for binding in rendering.of("ClusterRoleBinding"):
        yield Problem(reference(binding), "binds for the whole cluster: a RoleBinding is enough for the mesh")


def _too_much(rule: Document) -> Iterator[str]:
    forbidden = (("verbs", _FORBIDDEN_VERBS), ("resources", _FORBIDDEN_RESOURCES), ("apiGroups", {"*"}))
    for what, words in forbidden:
        for each in sorted(words.intersection(rule.get(what) or [])):
            yield f"allows {what} {each!r}: name what is needed, and no more"
    if "secrets" in (rule.get("resources") or []) and not rule.get("resourceNames"):
        yield "opens every Secret: name those that are meant in resourceNames"
    if rule.get("resourceNames") and "create" in (rule.get("verbs") or []):
        yield "allows create by resourceNames, which never holds: give create a rule of its own"


def bindings(rendering: Rendering) -> Iterator[Problem]:
    """RoleBindings bind a Role that is there to ServiceAccounts that are there."""
    bound: set[str] = set()
    for binding in rendering.of("RoleBinding"):
        role = at(binding, "roleRef")
        bound.add(role.get("name", ""))
        if role.get("kind") != "Role" or rendering.find("Role", role.get("name", "")) is None:
            yield Problem(
                reference(binding), f"binds {role.get('kind')} {role.get('name')!r}: bind a Role that is there"
            )
        for subject in binding.get("subjects") or []:
            if subject.get("kind") != "ServiceAccount":
                yield Problem(
                    reference(binding), f"binds a {subject.get('kind')}: people get their rights from the operator"
                )
            elif rendering.find("ServiceAccount", subject.get("name", "")) is None:
                yield Problem(reference(binding), f"binds ServiceAccount {subject.get('name')!r}, which is not there")
    for role in rendering.of("Role"):
        if name(role) not in bound | FOR_PEOPLE:
            yield Problem(reference(role), "is bound to nobody: bind it, or remove it")


def tokens(rendering: Rendering) -> Iterator[Problem]:
    """Each workload has a ServiceAccount of its own, whose token is mounted only where a Role is bound to it."""
    accounts: dict[str, str] = {}
    for workload in rendering.workloads:
        account = workload.pod.get("serviceAccountName", "default")
        if account == "default":
            yield Problem(workload.reference, "runs as the default ServiceAccount: give it one of its own")
        elif account in accounts:
            yield Problem(
                workload.reference, f"shares ServiceAccount {account!r} with {accounts[account]}: give it its own"
            )
        accounts[account] = workload.reference
        mounted, bound = _mounts_token(rendering, workload), bool(roles_of(rendering, account))
        if mounted and not bound:
            yield Problem(
                workload.reference, "mounts a token that no Role is bound to: set automountServiceAccountToken: false"
            )
        if bound and not mounted:
            yield Problem(
                workload.reference, "has a Role and no token: set automountServiceAccountToken: true in its pod"
            )
    for account in rendering.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield Problem(reference(account), "hands its token to every pod: set automountServiceAccountToken: false")
        if name(account) not in accounts:
            yield Problem(reference(account), "is used by no pod: remove it")


def roles_of(rendering: Rendering, account: str) -> list[Document]:
    """The Roles that are bound to a ServiceAccount."""
    return [
        role
        for binding in rendering.of("RoleBinding")
        if any(
            each.get("kind") == "ServiceAccount" and each.get("name") == account
            for each in binding.get("subjects") or []
        )
        and (role := rendering.find("Role", at(binding, "roleRef").get("name", ""))) is not None
    ]


def _mounts_token(rendering: Rendering, workload: Workload) -> bool:
    """By its pod's word, else by its account's, else yes; or by a projected volume."""
    projected = any(
        "serviceAccountToken" in source
        for volume in workload.pod.get("volumes", [])
        for source in at(volume, "projected").get("sources", [])
    )
    account = rendering.find("ServiceAccount", workload.pod.get("serviceAccountName", "default")) or {}
    automatic = workload.pod.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    return projected or bool(automatic)
