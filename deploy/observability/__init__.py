"""What operators see of a mesh: objectives, rules, alerts, dashboards and the way that traces take."""
