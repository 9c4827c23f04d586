"""Grafana's dashboards as code: one module a dashboard, `panels` the words they are written in, `build` their JSON."""
