"""Names, namespaces and selectors."""

from tests.unit.deploy.k8s.mutations.table import NAME, PRODUCTION, Objects, caught_by, labels


@caught_by("duplicates", "Service/nlp")
def service_twice(objects: Objects) -> None:
    objects.add(dict(objects["Service/nlp"]))


@caught_by("namespaces", "Deployment/nlp")
def another_namespace(objects: Objects) -> None:
    objects["Deployment/nlp"]["metadata"]["namespace"] = "default"


@caught_by("namespaces", "Deployment/nlp")
def no_namespace(objects: Objects) -> None:
    del objects["Deployment/nlp"]["metadata"]["namespace"]


@caught_by("namespaces", "StorageClass/fast")
def object_of_the_cluster(objects: Objects) -> None:
    objects.add({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}})


@caught_by("namespaces", "Namespace/maas")
def namespace_in_a_namespace(objects: Objects) -> None:
    objects["Namespace/maas"]["metadata"]["namespace"] = "maas"


@caught_by("names", "Service/NLP")
def service_in_capitals(objects: Objects) -> None:
    objects["Service/nlp"]["metadata"]["name"] = "NLP"


@caught_by("names", "Deployment/nlp")
def label_that_is_a_number(objects: Objects) -> None:
    labels(objects["Deployment/nlp"])["version"] = 1


@caught_by("names", "Deployment/nlp (nlp)")
def long_name_of_a_port(objects: Objects) -> None:
    objects.container("Deployment/nlp")["ports"][0]["name"] = "grpc-of-language-service"


@caught_by("names", "Service/nlp")
def unnamed_port_of_a_service(objects: Objects) -> None:
    del objects["Service/nlp"]["spec"]["ports"][0]["name"]


@caught_by("workload_selectors", "Deployment/nlp")
def selector_of_another_name(objects: Objects) -> None:
    objects["Deployment/nlp"]["spec"]["selector"]["matchLabels"][NAME] = "nlq"


@caught_by("workload_selectors", "Deployment/nlp")
def selector_that_takes_all_services(objects: Objects) -> None:
    component = "app.kubernetes.io/component"
    objects["Deployment/nlp"]["spec"]["selector"]["matchLabels"] = {component: "service"}


@caught_by("service_selectors", "Service/nlp")
def service_of_nobody(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["selector"][NAME] = "nlq"


@caught_by("service_selectors", "Service/nlp")
def service_of_everybody(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["selector"] = {"app.kubernetes.io/part-of": "maas-mesh"}


@caught_by("disruption_selectors", "PodDisruptionBudget/nlp")
def budget_of_nobody(objects: Objects) -> None:
    objects["PodDisruptionBudget/nlp"]["spec"]["selector"]["matchLabels"][NAME] = "nlq"


@caught_by("disruption_selectors", "Deployment/vision")
def two_budgets(objects: Objects) -> None:
    objects["PodDisruptionBudget/nlp"]["spec"]["selector"]["matchLabels"][NAME] = "vision"


@caught_by("policy_selectors", "NetworkPolicy/triton", PRODUCTION)
def policy_for_nobody(objects: Objects) -> None:
    objects["NetworkPolicy/triton"]["spec"]["podSelector"] = {"matchLabels": {NAME: "tritn"}}


@caught_by("policy_selectors", "NetworkPolicy/triton", PRODUCTION)
def policy_with_a_peer_that_is_nobody(objects: Objects) -> None:
    rule = objects["NetworkPolicy/triton"]["spec"]["ingress"][0]
    rule["from"] = [{"podSelector": {"matchLabels": {NAME: "nlq"}}}]


@caught_by("monitor_selectors", "ServiceMonitor/nobody")
def monitor_of_no_service(objects: Objects) -> None:
    objects.add(monitor("ServiceMonitor", "nobody", {NAME: "nlq"}, "metrics"))


@caught_by("monitor_selectors", "PodMonitor/nobody")
def monitor_of_no_pod(objects: Objects) -> None:
    objects.add(monitor("PodMonitor", "nobody", {NAME: "nlq"}, "metrics"))


@caught_by("monitor_ports", "ServiceMonitor/nlp-port")
def monitor_of_a_port_that_the_service_has_not(objects: Objects) -> None:
    objects.add(monitor("ServiceMonitor", "nlp-port", {NAME: "nlp"}, "metric"))


@caught_by("monitor_ports", "PodMonitor/nlp-port")
def monitor_of_a_port_that_the_pod_has_not(objects: Objects) -> None:
    objects.add(monitor("PodMonitor", "nlp-port", {NAME: "nlp"}, "metric"))


@caught_by("own_selectors", "Deployment/nlp")
def spread_over_others(objects: Objects) -> None:
    spread = objects.pod("Deployment/nlp")["topologySpreadConstraints"][0]
    spread["labelSelector"] = {"matchLabels": {NAME: "vision"}}


def monitor(kind: str, name: str, selected: dict[str, str], port: str) -> dict[str, object]:
    """A monitor of the Prometheus operator."""
    endpoints = "endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": selected}, endpoints: [{"port": port}]},
    }
