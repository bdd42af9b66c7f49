"""Pod Security, roles and tokens."""

from tests.unit.deploy.k8s.mutations.table import Objects, caught_by

NLP = "Deployment/nlp (nlp)"


def context(objects: Objects) -> dict[str, object]:
    """The security context of nlp's container."""
    return objects.container("Deployment/nlp")["securityContext"]


@caught_by("namespace_labels", "Namespace/maas")
def namespace_that_only_warns(objects: Objects) -> None:
    objects["Namespace/maas"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"


@caught_by("namespace_labels", "Namespace/maas")
def no_rendered_namespace(objects: Objects) -> None:
    objects.remove("Namespace/maas")


@caught_by("pod_security", NLP)
def may_be_root(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["securityContext"]["runAsNonRoot"] = False


@caught_by("pod_security", "Deployment/nlp")
def is_root(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["securityContext"]["runAsUser"] = 0


@caught_by("pod_security", NLP)
def container_is_root(objects: Objects) -> None:
    context(objects)["runAsUser"] = 0


@caught_by("pod_security", NLP)
def no_seccomp(objects: Objects) -> None:
    del objects.pod("Deployment/nlp")["securityContext"]["seccompProfile"]


@caught_by("pod_security", NLP)
def may_escalate(objects: Objects) -> None:
    del context(objects)["allowPrivilegeEscalation"]


@caught_by("pod_security", NLP)
def keeps_capabilities(objects: Objects) -> None:
    context(objects)["capabilities"] = {"drop": ["NET_RAW"]}


@caught_by("pod_security", NLP)
def adds_a_capability(objects: Objects) -> None:
    context(objects)["capabilities"] = {"drop": ["ALL"], "add": ["SYS_PTRACE"]}


@caught_by("pod_security", NLP)
def privileged(objects: Objects) -> None:
    context(objects)["privileged"] = True


@caught_by("pod_security", NLP)
def bare_proc(objects: Objects) -> None:
    context(objects)["procMount"] = "Unmasked"


@caught_by("pod_security", NLP)
def without_apparmor(objects: Objects) -> None:
    context(objects)["appArmorProfile"] = {"type": "Unconfined"}


@caught_by("pod_security", NLP)
def role_of_selinux(objects: Objects) -> None:
    context(objects)["seLinuxOptions"] = {"role": "sysadm_r", "type": "spc_t"}


@caught_by("pod_security", NLP)
def process_of_a_windows_host(objects: Objects) -> None:
    context(objects)["windowsOptions"] = {"hostProcess": True}


@caught_by("pod_security", NLP)
def port_of_the_host(objects: Objects) -> None:
    objects.container("Deployment/nlp")["ports"][0]["hostPort"] = 8000


@caught_by("pod_security", "Deployment/triton (triton)")
def probe_of_another_host(objects: Objects) -> None:
    objects.container("Deployment/triton")["livenessProbe"]["httpGet"]["host"] = "10.0.0.1"


@caught_by("pod_security", "Deployment/nlp")
def network_of_the_host(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["hostNetwork"] = True


@caught_by("pod_security", "Deployment/nlp")
def path_of_the_host(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["volumes"].append({"name": "root", "hostPath": {"path": "/"}})


@caught_by("pod_security", "Deployment/nlp")
def unsafe_sysctl(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["securityContext"]["sysctls"] = [{"name": "kernel.msgmax", "value": "1"}]


@caught_by("pod_security", "Deployment/nlp (init)")
def init_container_as_root(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["initContainers"] = [{"name": "init", "securityContext": {"runAsUser": 0}}]


@caught_by("read_only_root", NLP)
def writable_root(objects: Objects) -> None:
    context(objects)["readOnlyRootFilesystem"] = False


@caught_by("read_only_root", "Deployment/nlp")
def unlimited_directory(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["volumes"][0]["emptyDir"] = {}


@caught_by("numeric_users", NLP)
def user_by_name_only(objects: Objects) -> None:
    del objects.pod("Deployment/nlp")["securityContext"]["runAsUser"]


@caught_by("least_privilege", "Role/any")
def every_verb(objects: Objects) -> None:
    objects.add(role([{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]))


@caught_by("least_privilege", "Role/any")
def every_resource(objects: Objects) -> None:
    objects.add(role([{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get"]}]))


@caught_by("least_privilege", "Role/any")
def every_secret(objects: Objects) -> None:
    objects.add(role([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]))


@caught_by("least_privilege", "Role/any")
def create_by_name(objects: Objects) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["create"]}
    objects.add(role([rule]))


@caught_by("least_privilege", "ClusterRole/any")
def role_of_the_cluster(objects: Objects) -> None:
    objects.add(role([]) | {"kind": "ClusterRole"})


@caught_by("least_privilege", "ClusterRole/maas-checker")
def role_of_people_that_changes_the_cluster(objects: Objects) -> None:
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["delete"]}]
    objects.add(role(rules) | {"kind": "ClusterRole", "metadata": {"name": "maas-checker"}})


@caught_by("least_privilege", "ClusterRoleBinding/any")
def binding_for_the_whole_cluster(objects: Objects) -> None:
    objects.add(binding("ServiceAccount", "nlp") | {"kind": "ClusterRoleBinding"})


@caught_by("bindings", "Role/any")
def role_of_nobody(objects: Objects) -> None:
    objects.add(role([]))


@caught_by("bindings", "RoleBinding/any")
def binding_of_no_role(objects: Objects) -> None:
    objects.add(binding("ServiceAccount", "nlp"))


@caught_by("bindings", "RoleBinding/any")
def binding_to_nobody(objects: Objects) -> None:
    objects.add(role([]))
    objects.add(binding("ServiceAccount", "nlq"))


@caught_by("bindings", "RoleBinding/any")
def binding_to_everybody(objects: Objects) -> None:
    objects.add(role([]))
    objects.add(binding("Group", "system:authenticated"))


@caught_by("tokens", "Deployment/nlp")
def default_account(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["serviceAccountName"] = "default"


@caught_by("tokens", "Deployment/speech")
def account_of_another(objects: Objects) -> None:
    objects.pod("Deployment/speech")["serviceAccountName"] = "nlp"


@caught_by("tokens", "Deployment/nlp")
def token_without_a_role(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["automountServiceAccountToken"] = True


@caught_by("tokens", "Deployment/nlp")
def role_without_a_token(objects: Objects) -> None:
    objects.add(role([]))
    objects.add(binding("ServiceAccount", "nlp"))


@caught_by("tokens", "ServiceAccount/nlp")
def account_that_hands_out_its_token(objects: Objects) -> None:
    del objects["ServiceAccount/nlp"]["automountServiceAccountToken"]


def role(rules: list[dict[str, object]]) -> dict[str, object]:
    """A Role."""
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "any"}, "rules": rules}


def binding(kind: str, name: str) -> dict[str, object]:
    """A binding of it."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "any"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "any"},
        "subjects": [{"kind": kind, "name": name}],
    }
