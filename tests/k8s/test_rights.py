"""Every ServiceAccount may do what its Roles say, and nothing dangerous beside it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deploy.k8s.checks.rendering import Rendering
from deploy.k8s.overlays import overlays
from tests.k8s.api import Api
from tests.k8s.cluster import eventually, run_kubectl
from tests.k8s.rewriting import moved
from tests.k8s.rights import Question, questions, review

_KINDS = ("ServiceAccount", "Role", "RoleBinding")


def _allowed(api: Api, namespace: str, question: Question) -> bool:
    asked = api.do("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review(question, namespace))
    return asked.body["status"]["allowed"]


@pytest.mark.parametrize("overlay", [folder.name for folder in overlays()])
def test_rights_are_those_of_the_roles(
    api: Api, rendered: Mapping[str, Rendering], namespace: str, overlay: str
) -> None:
    """The API server says yes and no where the manifests do."""
    if _allowed(api, namespace, Question("nobody", "get", "", "secrets")):
        pytest.skip("this cluster allows everybody everything (no RBAC)")
    documents = [each for each in rendered[overlay].documents if each["kind"] in _KINDS]
    applied = run_kubectl("apply", "--filename=-", documents=moved(documents, namespace))
    assert applied.returncode == 0, applied.stderr
    for question, expected in questions(rendered[overlay]):
        # The authoriser learns of new bindings a moment after they are made.
        eventually(
            lambda question=question, expected=expected: _allowed(api, namespace, question) is expected,
            f"{question} is {'allowed' if expected else 'refused'}",
            seconds=10,
        )
