"""Mistakes in manifests, by area; importing this fills the table."""

from tests.unit.deploy.k8s.mutations import fields, ports, privileges, programs, scaling, selectors
from tests.unit.deploy.k8s.mutations.table import MUTATIONS, Mutation, Objects

__all__ = ["MUTATIONS", "Mutation", "Objects", "fields", "ports", "privileges", "programs", "scaling", "selectors"]
