"""Fields and values that schemas know, and those that they do not."""

from tests.unit.deploy.k8s.mutations.scaling import scaled
from tests.unit.deploy.k8s.mutations.selectors import monitor
from tests.unit.deploy.k8s.mutations.table import NAME, PRODUCTION, Objects, caught_by


@caught_by("schema", "Deployment/nlp")
def unknown_field(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["restartPolice"] = "Always"


@caught_by("schema", "Deployment/nlp")
def word_for_a_number(objects: Objects) -> None:
    objects["Deployment/nlp"]["spec"]["minReadySeconds"] = "five"


@caught_by("schema", "Deployment/nlp")
def missing_field(objects: Objects) -> None:
    del objects["Deployment/nlp"]["spec"]["selector"]


@caught_by("schema", "Deployment/nlp")
def removed_version(objects: Objects) -> None:
    objects["Deployment/nlp"]["apiVersion"] = "apps/v1beta2"


@caught_by("schema", "NetworkPolicy/default-deny", PRODUCTION)
def group_of_somebody_else(objects: Objects) -> None:
    objects["NetworkPolicy/default-deny"]["apiVersion"] = "networking.example.com/v1"


@caught_by("schema", "Mesh/nlp")
def kind_that_nobody_knows(objects: Objects) -> None:
    objects.add({"apiVersion": "maas.example/v1", "kind": "Mesh", "metadata": {"name": "nlp"}})


@caught_by("schema", "?/nlp")
def no_kind(objects: Objects) -> None:
    del objects["Deployment/nlp"]["kind"]


@caught_by("schema", "ServiceMonitor/nlp-2")
def unknown_field_of_a_custom_resource(objects: Objects) -> None:
    wrong = monitor("ServiceMonitor", "nlp-2", {NAME: "nlp"}, "metrics")
    wrong["spec"]["endpoint"] = []
    objects.add(wrong)


@caught_by("schema", "ScaledObject/vision")
def number_that_keda_takes_as_text(objects: Objects) -> None:
    wrong = scaled("vision")
    wrong["spec"]["triggers"][0]["metadata"]["threshold"] = 5
    objects.add(wrong)


@caught_by("words", "Deployment/nlp")
def misspelt_policy(objects: Objects) -> None:
    objects.container("Deployment/nlp")["imagePullPolicy"] = "IfNotPreset"


@caught_by("words", "Deployment/nlp")
def misspelt_spread(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["topologySpreadConstraints"][0]["whenUnsatisfiable"] = "ScheduleAnyhow"


@caught_by("words", "Service/nlp")
def misspelt_type_of_a_service(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["type"] = "LoadBalancr"


@caught_by("words", "Service/nlp")
def misspelt_protocol(objects: Objects) -> None:
    objects["Service/nlp"]["spec"]["ports"][0]["protocol"] = "tcp"


@caught_by("words", "HorizontalPodAutoscaler/nlp", PRODUCTION)
def misspelt_metric(objects: Objects) -> None:
    objects["HorizontalPodAutoscaler/nlp"]["spec"]["metrics"][0]["type"] = "Resources"


@caught_by("words", "NetworkPolicy/default-deny", PRODUCTION)
def misspelt_direction(objects: Objects) -> None:
    objects["NetworkPolicy/default-deny"]["spec"]["policyTypes"] = ["Ingres", "Egress"]


@caught_by("quantities", "Deployment/nlp")
def misspelt_unit(objects: Objects) -> None:
    objects.container("Deployment/nlp")["resources"]["limits"]["memory"] = "1GB"


@caught_by("quantities", "Deployment/nlp")
def less_than_nothing(objects: Objects) -> None:
    objects.container("Deployment/nlp")["resources"]["requests"]["cpu"] = "-1"


@caught_by("quantities", "Deployment/nlp")
def misspelt_size_of_a_volume(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["volumes"][0]["emptyDir"]["sizeLimit"] = "64 Mi"


@caught_by("sizes", "ConfigMap/large")
def too_large_to_apply(objects: Objects) -> None:
    contents = {"text": "x" * 300_000}
    objects.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": contents})
