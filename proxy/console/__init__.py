"""The console: the page, the JSON API, the metrics and the health checks, on a port of their own."""
