"""Checks of rendered manifests: what an API server, a scheduler or an operator would object to, without a cluster.

A check is a function that takes one rendering and yields problems; `checks.all` lists them all.
"""
