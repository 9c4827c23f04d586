"""Meters: what an upstream's answer says it used. A meter is a framing times a flavour and does no I/O."""
