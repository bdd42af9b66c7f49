"""Settings, references, probes, images and the end of pods."""

from tests.unit.deploy.k8s.mutations.table import Objects, caught_by

NLP = "Deployment/nlp (nlp)"


@caught_by("variables", NLP)
def misspelt_variable(objects: Objects) -> None:
    objects.container("Deployment/nlp")["env"].append({"name": "NLP_CACHE_BITES", "value": "1"})


@caught_by("variables", NLP)
def misspelt_place(objects: Objects) -> None:
    source = {"fieldRef": {"fieldPath": "metadata.name"}}
    objects.container("Deployment/nlp")["env"].append({"name": "K8S_POD", "valueFrom": source})


@caught_by("variables", NLP)
def variable_of_another_service(objects: Objects) -> None:
    objects.container("Deployment/nlp")["env"].append({"name": "VISION_GALLERY_THREADS", "value": "1"})


@caught_by("variables", "Deployment/triton (triton)")
def misspelt_variable_of_triton(objects: Objects) -> None:
    objects.variable("Deployment/triton", "TRITON_DRAIN_SECONDS")["name"] = "TRITON_DRAIN_SECOND"


@caught_by("variable_values", "Deployment/triton (triton)")
def words_for_a_number_of_tritons(objects: Objects) -> None:
    objects.variable("Deployment/triton", "TRITON_DRAIN_SECONDS")["value"] = "five minutes"


@caught_by("bounds", "Deployment/preprocessing (preprocessing)")
def killed_before_it_refuses(objects: Objects) -> None:
    objects.container("Deployment/preprocessing")["resources"]["limits"]["memory"] = "2Gi"


@caught_by("bounds", "Deployment/preprocessing (preprocessing)")
def more_videos_than_disk(objects: Objects) -> None:
    objects.container("Deployment/preprocessing")["env"].append({"name": "PREPROCESSING_MAX_VIDEOS", "value": "64"})


@caught_by("required_variables", NLP)
def missing_variable(objects: Objects) -> None:
    variables = objects.container("Deployment/nlp")["env"]
    variables.remove(objects.variable("Deployment/nlp", "NLP_TRITON_ADDRESS"))


@caught_by("required_variables", NLP)
def required_variable_from_an_optional_secret(objects: Objects) -> None:
    variable = objects.variable("Deployment/nlp", "NLP_TRITON_ADDRESS")
    del variable["value"]
    variable["valueFrom"] = {"secretKeyRef": {"name": "addresses", "key": "triton", "optional": True}}


@caught_by("variable_values", NLP)
def words_for_a_number(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_DRAIN_SECONDS")["value"] = "long"


@caught_by("variable_values", NLP)
def number_below_its_least(objects: Objects) -> None:
    objects.container("Deployment/nlp")["env"].append({"name": "NLP_CACHE_BYTES", "value": "-1"})


@caught_by("variable_values", "Deployment/vision (vision)")
def gallery_without_a_key(objects: Objects) -> None:
    variables = objects.container("Deployment/vision")["env"]
    variables[:] = [each for each in variables if "GALLERY" not in each["name"]]
    variables.append({"name": "VISION_GALLERY_URL", "value": "sqlite:////tmp/gallery"})


@caught_by("paths", "Deployment/preprocessing (preprocessing)")
def directory_that_is_not_there(objects: Objects) -> None:
    objects.variable("Deployment/preprocessing", "PREPROCESSING_ASSETS_DIRECTORY")["value"] = "/opt/assets"


@caught_by("listening", NLP)
def listens_elsewhere(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_LISTEN_ADDRESS")["value"] = "0.0.0.0:8080"


@caught_by("listening", NLP)
def listens_for_itself(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_METRICS_ADDRESS")["value"] = "127.0.0.1:9090"


@caught_by("backends", NLP)
def calls_a_service_that_is_not_there(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_PREPROCESSING_ADDRESS")["value"] = "dns:///preprocesing:8000"


@caught_by("service_links", "Deployment/nlp")
def variables_for_every_service(objects: Objects) -> None:
    del objects.pod("Deployment/nlp")["enableServiceLinks"]


@caught_by("references", "Deployment/nlp")
def configuration_that_is_not_there(objects: Objects) -> None:
    source = {"configMapKeyRef": {"name": "nlp-settings", "key": "bytes"}}
    objects.container("Deployment/nlp")["env"].append({"name": "NLP_CACHE_BYTES", "valueFrom": source})


@caught_by("references", "Deployment/nlp")
def key_that_the_configuration_has_not(objects: Objects) -> None:
    objects.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nlp"}, "data": {"byte": "1"}})
    source = {"configMapKeyRef": {"name": "nlp", "key": "bytes"}}
    objects.container("Deployment/nlp")["env"].append({"name": "NLP_CACHE_BYTES", "valueFrom": source})


@caught_by("references", "Deployment/nlp")
def whole_secret_that_is_not_there(objects: Objects) -> None:
    objects.container("Deployment/nlp")["envFrom"] = [{"secretRef": {"name": "nlp"}}]


@caught_by("references", "Deployment/nlp")
def projected_secret_that_is_not_there(objects: Objects) -> None:
    sources = [{"secret": {"name": "nlp"}}]
    objects.pod("Deployment/nlp")["volumes"].append({"name": "both", "projected": {"sources": sources}})


@caught_by("sub_paths", NLP)
def file_that_the_volume_has_not(objects: Objects) -> None:
    objects.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nlp"}, "data": {"one": "1"}})
    objects.pod("Deployment/nlp")["volumes"].append({"name": "files", "configMap": {"name": "nlp"}})
    mount = {"name": "files", "mountPath": "/etc/two", "subPath": "two"}
    objects.container("Deployment/nlp")["volumeMounts"].append(mount)


@caught_by("arguments", "Deployment/gateway (gateway)")
def variant_of_the_gateway_that_is_not_there(objects: Objects) -> None:
    objects.variable("Deployment/gateway", "GATEWAY_MTLS")["value"] = "-mtls"


@caught_by("arguments", "Deployment/gateway (gateway)")
def file_that_the_configuration_has_not(objects: Objects) -> None:
    arguments = objects.container("Deployment/gateway")["args"]
    arguments[arguments.index("--config-path") + 1] = "/etc/envoy/gateway/envoi.yaml"


@caught_by("objects", "Deployment/nlp")
def account_that_is_not_there(objects: Objects) -> None:
    objects.remove("ServiceAccount/nlp")


@caught_by("objects", "Deployment/nlp")
def claim_that_is_not_there(objects: Objects) -> None:
    claim = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    objects.pod("Deployment/nlp")["volumes"].append(claim)


@caught_by("objects", "Deployment/nlp")
def priority_that_is_not_there(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["priorityClassName"] = "urgent"


@caught_by("certificates", "Certificate/public")
def certificate_without_an_issuer(objects: Objects) -> None:
    spec = {"secretName": "public", "dnsNames": ["maas.example"], "issuerRef": {"name": "nobody"}}
    objects.add(
        {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "public"}, "spec": spec}
    )


@caught_by("certificates", "Certificate/gateway", "base + gateway-api + tls-cert-manager")
def certificate_that_lacks_a_host(objects: Objects) -> None:
    objects["Certificate/gateway"]["spec"]["dnsNames"].remove("grpc.maas.example.com")


@caught_by("unread", "ConfigMap/nlq")
def configuration_that_nobody_reads(objects: Objects) -> None:
    objects.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nlq"}, "data": {"one": "1"}})


@caught_by("probes", NLP)
def no_startup_probe(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["startupProbe"]


@caught_by("probes", NLP)
def no_readiness_probe(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["readinessProbe"]


@caught_by("probes", NLP)
def no_liveness_probe(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["livenessProbe"]


@caught_by("probes", NLP)
def killed_while_triton_is_away(objects: Objects) -> None:
    container = objects.container("Deployment/nlp")
    container["livenessProbe"]["grpc"] = container["readinessProbe"]["grpc"]


@caught_by("probes", "Deployment/triton (triton)")
def killed_while_it_loads(objects: Objects) -> None:
    objects.container("Deployment/triton")["startupProbe"]["failureThreshold"] = 1


@caught_by("probe_services", NLP)
def probe_of_a_name_that_nobody_serves(objects: Objects) -> None:
    objects.container("Deployment/nlp")["readinessProbe"]["grpc"]["service"] = "maas.nlp.v1.Nlp"


@caught_by("resources", NLP)
def no_limit(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["resources"]["limits"]["memory"]


@caught_by("resources", NLP)
def no_request(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["resources"]["requests"]["cpu"]


@caught_by("resources", NLP)
def request_above_the_limit(objects: Objects) -> None:
    objects.container("Deployment/nlp")["resources"]["requests"]["memory"] = "640Gi"


@caught_by("images", NLP)
def latest_image(objects: Objects) -> None:
    objects.container("Deployment/nlp")["image"] = "maas-mesh/nlp:latest"


@caught_by("images", NLP)
def image_without_a_tag(objects: Objects) -> None:
    objects.container("Deployment/nlp")["image"] = "registry.example:5000/maas-mesh/nlp"


@caught_by("images", NLP)
def image_that_must_have_a_digest(objects: Objects) -> None:
    objects.pinned = True


@caught_by("mounts", NLP)
def mount_of_no_volume(objects: Objects) -> None:
    objects.container("Deployment/nlp")["volumeMounts"].append({"name": "tmpp", "mountPath": "/var/more"})


@caught_by("mounts", "Deployment/nlp")
def volume_that_is_mounted_nowhere(objects: Objects) -> None:
    objects.container("Deployment/nlp")["volumeMounts"] = []


@caught_by("shutdown", "Deployment/nlp")
def too_little_time_to_end(objects: Objects) -> None:
    objects.pod("Deployment/nlp")["terminationGracePeriodSeconds"] = 30


@caught_by("shutdown", NLP)
def ends_while_callers_send(objects: Objects) -> None:
    del objects.container("Deployment/nlp")["lifecycle"]


@caught_by("shutdown", NLP)
def drains_too_short(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_DRAIN_SECONDS")["value"] = "5"


@caught_by("shutdown", "Deployment/nlp")
def drains_longer_than_it_may(objects: Objects) -> None:
    objects.variable("Deployment/nlp", "NLP_DRAIN_SECONDS")["value"] = "600"


@caught_by("shutdown", "Deployment/gateway (gateway)")
def gateway_ends_at_once(objects: Objects) -> None:
    objects.container("Deployment/gateway")["lifecycle"]["preStop"] = {"sleep": {"seconds": 1}}
