"""The command line. Commands read the same settings as `serve` and work beside a running one."""
