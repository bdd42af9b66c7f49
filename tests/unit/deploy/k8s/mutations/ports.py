"""Ports, routes, and what NetworkPolicies open."""

from tests.unit.deploy.k8s.mutations.table import NAME, PRODUCTION, Objects, caught_by


@caught_by("container_ports", "Deployment/nlp")
def port_under_another_name(objects: Objects) -> None:
    objects.container("Deployment/nlp")["ports"][0]["name"] = "rpc"


@caught_by("container_ports", "Deployment/triton")
def ports_of_triton_exchanged(objects: Objects) -> None:
    http, grpc, *_ = objects.container("Deployment/triton")["ports"]
    http["containerPort"], grpc["containerPort"] = grpc["containerPort"], http["containerPort"]


@caught_by("container_ports", "Deployment/nlp")
def one_port_twice(objects: Objects) -> None:
    objects.container("Deployment/nlp")["ports"].append({"name": "other", "containerPort": 8000})


@caught_by("service_ports", "Service/nlp")
def target_that_no_pod_has(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["ports"][0]["targetPort"] = "rpc"


@caught_by("service_ports", "Service/nlp")
def number_that_no_pod_has(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["ports"][0]["targetPort"] = 8080


@caught_by("service_ports", "Service/nlp")
def headless_service_that_would_translate(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["ports"][0]["port"] = 80


@caught_by("load_balancers", "Service/gateway", PRODUCTION)
def probed_by_a_page_that_is_not_there(objects: Objects) -> None:
    objects["Service/gateway"]["spec"]["ports"][0]["appProtocol"] = "https"


@caught_by("probe_ports", "Deployment/nlp (nlp)")
def probe_of_another_port(objects: Objects) -> None:
    objects.container("Deployment/nlp")["livenessProbe"]["grpc"]["port"] = 8001


@caught_by("probe_ports", "Deployment/triton (triton)")
def hook_that_asks_another_port(objects: Objects) -> None:
    objects.container("Deployment/triton")["lifecycle"] = {"preStop": {"httpGet": {"path": "/", "port": "htpt"}}}


@caught_by("policy_ports", "NetworkPolicy/triton", PRODUCTION)
def policy_for_a_port_that_is_not_there(objects: Objects) -> None:
    objects["NetworkPolicy/triton"]["spec"]["ingress"][0]["ports"] = [{"port": "rpc"}]


@caught_by("policy_ports", "NetworkPolicy/nlp", PRODUCTION)
def policy_to_a_port_that_is_not_there(objects: Objects) -> None:
    peers = [{"podSelector": {"matchLabels": {NAME: "triton"}}}]
    objects["NetworkPolicy/nlp"]["spec"]["egress"] = [{"to": peers, "ports": [{"port": 8999}]}]


@caught_by("routes", "GRPCRoute/astray")
def route_to_a_port_that_is_not_there(objects: Objects) -> None:
    objects.add(gateway())
    objects.add(route("public", "gateway", 1))


@caught_by("routes", "GRPCRoute/astray")
def route_to_a_service_that_is_not_there(objects: Objects) -> None:
    objects.add(gateway())
    objects.add(route("public", "gatway", 8080))


@caught_by("routes", "GRPCRoute/astray")
def route_of_no_listener(objects: Objects) -> None:
    objects.add(gateway())
    objects.add(route("private", "gateway", 8080))


@caught_by("routes", "GRPCRoute/astray")
def route_of_no_gateway(objects: Objects) -> None:
    objects.add(route("public", "gateway", 8080))


@caught_by("addresses", "Deployment/nlp")
def address_with_another_port(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_TRITON_ADDRESS")["value"] = "dns:///triton:9001"


@caught_by("default_deny", "NetworkPolicy/default-deny", PRODUCTION)
def nothing_is_denied(objects: Objects) -> None:
    objects.remove("NetworkPolicy/default-deny")


@caught_by("default_deny", "NetworkPolicy/default-deny", PRODUCTION)
def only_what_comes_in_is_denied(objects: Objects) -> None:
    objects["NetworkPolicy/default-deny"]["spec"]["policyTypes"] = ["Ingress"]


@caught_by("reachable", "Deployment/triton", PRODUCTION)
def triton_closed_to_its_callers(objects: Objects) -> None:
    objects.remove("NetworkPolicy/triton")


@caught_by("reachable", "Deployment/triton", PRODUCTION)
def triton_opened_at_another_port(objects: Objects) -> None:
    for rule in objects["NetworkPolicy/triton"]["spec"]["ingress"]:
        rule["ports"] = [{"port": "http"}]


@caught_by("reachable", "Deployment/nlp", PRODUCTION)
def nobody_may_ask_for_addresses(objects: Objects) -> None:
    for policy in objects.documents:
        if policy["kind"] == "NetworkPolicy":
            for rule in policy["spec"].get("egress", []):
                rule["ports"] = [port for port in rule.get("ports", []) if port.get("port") != 53] or [{"port": 54}]


@caught_by("closed", "NetworkPolicy/triton", PRODUCTION)
def triton_opened_to_everybody(objects: Objects) -> None:
    objects["NetworkPolicy/triton"]["spec"]["ingress"].append({"ports": [{"port": "grpc"}]})


@caught_by("closed", "NetworkPolicy/triton", PRODUCTION)
def triton_opened_to_the_gateway(objects: Objects) -> None:
    peers = [{"podSelector": {"matchLabels": {NAME: "gateway"}}}]
    objects["NetworkPolicy/triton"]["spec"]["ingress"].append({"from": peers, "ports": [{"port": "grpc"}]})


@caught_by("closed", "NetworkPolicy/operator-access", "base + network-policies + operator-access")
def triton_opened_to_a_wide_block(objects: Objects) -> None:
    rule = objects["NetworkPolicy/operator-access"]["spec"]["ingress"][0]
    rule["from"][0]["ipBlock"]["cidr"] = "10.0.0.0/8"


@caught_by("closed", "Service/nlp")
def public_service(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["type"] = "LoadBalancer"


def gateway() -> dict[str, object]:
    """A Gateway with one listener, "public"."""
    listeners = [{"name": "public", "port": 443, "protocol": "HTTP"}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "another"},
        "spec": {"gatewayClassName": "any", "listeners": listeners},
    }


def route(listener: str, service: str, port: int) -> dict[str, object]:
    """A route from it to a Service."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": "astray"},
        "spec": {
            "parentRefs": [{"name": "another", "sectionName": listener}],
            "rules": [{"backendRefs": [{"name": service, "port": port}]}],
        },
    }
