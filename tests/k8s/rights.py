"""What each ServiceAccount may do, by the Roles of the manifests; the API server must say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.k8s.checks.rbac import roles_of
from deploy.k8s.checks.rendering import Document, Rendering, name


@dataclass(frozen=True)
class Question:
    """Whether an account may do something in its own namespace."""

    account: str
    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = "/".join(filter(None, (self.resource, self.subresource)))
        return f"{self.account}: {self.verb} {what}{f' {self.name}' if self.name else ''}"


# What would make a pod that was broken into dangerous, whoever it is.
_DANGEROUS = (
    ("get", "", "secrets", ""),
    ("list", "", "secrets", ""),
    ("create", "", "pods", ""),
    ("create", "", "pods", "exec"),
    ("delete", "", "pods", ""),
    ("create", "", "serviceaccounts", "token"),
    ("patch", "apps", "deployments", ""),
    ("delete", "apps", "deployments", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("escalate", "rbac.authorization.k8s.io", "roles", ""),
    ("delete", "", "configmaps", ""),
    ("impersonate", "", "users", ""),
)


def questions(rendering: Rendering) -> Iterator[tuple[Question, bool]]:
    """Every right of every ServiceAccount with True, every dangerous one that it should not have with False."""
    for account in rendering.of("ServiceAccount"):
        own = name(account)
        rules = [rule for role in roles_of(rendering, own) for rule in role.get("rules") or []]
        asked = {question for rule in rules for question in _granted(own, rule)}
        for question in sorted(asked, key=str):
            yield question, True
        for verb, group, resource, subresource in _DANGEROUS:
            question = Question(own, verb, group, resource, subresource)
            if not any(_covers(rule, question) for rule in rules):
                yield question, False


def _granted(account: str, rule: Document) -> Iterator[Question]:
    for verb in rule.get("verbs", []):
        for group in rule.get("apiGroups", []):
            for each in rule.get("resources", []):
                resource, _, subresource = each.partition("/")
                for only in rule.get("resourceNames") or [""]:
                    yield Question(account, verb, group, resource, subresource, only)


def _covers(rule: Document, question: Question) -> bool:
    resource = "/".join(filter(None, (question.resource, question.subresource)))
    return (
        question.verb in rule.get("verbs", [])
        and question.group in rule.get("apiGroups", [])
        and resource in rule.get("resources", [])
        and not rule.get("resourceNames")
    )


def review(question: Question, namespace: str) -> Document:
    """The question as a SubjectAccessReview."""
    attributes = {
        "namespace": namespace,
        "verb": question.verb,
        "group": question.group,
        "resource": question.resource,
        "subresource": question.subresource,
        "name": question.name,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:{question.account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            "resourceAttributes": {key: value for key, value in attributes.items() if value or key == "group"},
        },
    }
