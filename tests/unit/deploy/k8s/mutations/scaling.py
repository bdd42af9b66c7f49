"""Replicas, autoscalers, budgets and updates."""

from tests.unit.deploy.k8s.mutations.table import NAME, PRODUCTION, Objects, caught_by


@caught_by("scalers", "HorizontalPodAutoscaler/nlp", PRODUCTION)
def scaler_of_nothing(objects: Objects) -> None:
    objects["HorizontalPodAutoscaler/nlp"]["spec"]["scaleTargetRef"]["name"] = "nlq"


@caught_by("scalers", "HorizontalPodAutoscaler/nlp", PRODUCTION)
def least_above_most(objects: Objects) -> None:
    spec = objects["HorizontalPodAutoscaler/nlp"]["spec"]
    spec["minReplicas"] = spec["maxReplicas"] + 1


@caught_by("scalers", "Deployment/nlp", PRODUCTION)
def two_scalers(objects: Objects) -> None:
    objects["HorizontalPodAutoscaler/vision"]["spec"]["scaleTargetRef"]["name"] = "nlp"


@caught_by("scalers", "ScaledObject/vision")
def fallback_above_most(objects: Objects) -> None:
    objects.add(scaled("vision", maxReplicaCount=3, fallback={"failureThreshold": 3, "replicas": 4}))


@caught_by("scaled_replicas", "Deployment/nlp", PRODUCTION)
def replicas_beside_a_scaler(objects: Objects) -> None:
    objects["Deployment/nlp"]["spec"]["replicas"] = 2


@caught_by("scaling_metrics", "Deployment/nlp (nlp)", PRODUCTION)
def scaled_by_what_is_not_requested(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["resources"]["requests"]["cpu"]


@caught_by("scaling_metrics", "HorizontalPodAutoscaler/nlp", PRODUCTION)
def scaled_by_nothing(objects: Objects) -> None:
    del objects["HorizontalPodAutoscaler/nlp"]["spec"]["metrics"]


@caught_by("disruption_budgets", "PodDisruptionBudget/nlp", PRODUCTION)
def budget_of_all_replicas(objects: Objects) -> None:
    spec = objects["PodDisruptionBudget/nlp"]["spec"]
    del spec["maxUnavailable"]
    spec["minAvailable"] = objects["HorizontalPodAutoscaler/nlp"]["spec"]["minReplicas"]


@caught_by("disruption_budgets", "PodDisruptionBudget/nlp", PRODUCTION)
def budget_of_all_by_percent(objects: Objects) -> None:
    spec = objects["PodDisruptionBudget/nlp"]["spec"]
    del spec["maxUnavailable"]
    spec["minAvailable"] = "90%"


@caught_by("disruption_budgets", "PodDisruptionBudget/nlp")
def budget_of_nothing(objects: Objects) -> None:
    del objects["PodDisruptionBudget/nlp"]["spec"]["maxUnavailable"]


@caught_by("disruption_budgets", "Deployment/nlp", PRODUCTION)
def replicas_without_a_budget(objects: Objects) -> None:
    objects.remove("PodDisruptionBudget/nlp")


@caught_by("rollouts", "Deployment/nlp")
def update_that_cannot_begin(objects: Objects) -> None:
    objects["Deployment/nlp"]["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 0}


@caught_by("rollouts", "Deployment/nlp", PRODUCTION)
def update_that_takes_all_away(objects: Objects) -> None:
    objects["Deployment/nlp"]["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 1, "maxUnavailable": "100%"}


@caught_by("rollouts", "Deployment/triton")
def update_that_takes_two_of_one_away(objects: Objects) -> None:
    objects["Deployment/triton"]["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 2}


@caught_by("spread", "Deployment/nlp", PRODUCTION)
def all_on_one_node(objects: Objects) -> None:
    del objects.pod("Deployment/nlp")["topologySpreadConstraints"]


@caught_by("stable_names", "StatefulSet/nlp", PRODUCTION)
def pods_without_a_service(objects: Objects) -> None:
    deployment = objects["Deployment/nlp"]
    deployment["kind"] = "StatefulSet"
    deployment["spec"]["serviceName"] = "nlq"
    objects["HorizontalPodAutoscaler/nlp"]["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"


def scaled(target: str, **more: object) -> dict[str, object]:
    """A ScaledObject of a Deployment."""
    trigger = {"type": "prometheus", "metadata": {"serverAddress": "http://any", "query": NAME, "threshold": "1"}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": target},
        "spec": {"scaleTargetRef": {"name": target}, "minReplicaCount": 1, "triggers": [trigger], **more},
    }
