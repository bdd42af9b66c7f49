"""Who a process says it is."""

from services.mesh import resource as module
from services.mesh.resource import resource


def attributes(monkeypatch, **environment):
    for name in (*module.KUBERNETES, "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    module._instance.cache_clear()
    found = dict(resource("nlp").attributes)
    module._instance.cache_clear()
    return found


def test_on_one_machine(monkeypatch):
    """Name, version and an instance of its own; nothing of Kubernetes."""
    found = attributes(monkeypatch)
    assert (found["service.name"], found["service.version"]) == ("nlp", "0.1.0")
    assert len(found["service.instance.id"]) == 36
    assert not [name for name in found if name.startswith("k8s.")]


def test_on_kubernetes(monkeypatch):
    """What the downward API fills in is told, and the pod is the instance."""
    found = attributes(monkeypatch, K8S_NAMESPACE_NAME="maas", K8S_POD_NAME="nlp-1", K8S_NODE_NAME="n")
    assert (found["k8s.namespace.name"], found["k8s.pod.name"], found["k8s.node.name"]) == ("maas", "nlp-1", "n")
    assert found["service.instance.id"] == "maas.nlp-1"


def test_operators_add_to_it(monkeypatch):
    """OTEL_RESOURCE_ATTRIBUTES counts, except for the name, by which everything else knows the service."""
    given = "deployment.environment.name=test,service.version=2,service.name=other"
    found = attributes(monkeypatch, OTEL_RESOURCE_ATTRIBUTES=given)
    assert (found["deployment.environment.name"], found["service.version"]) == ("test", "2")
    assert found["service.name"] == "nlp"
