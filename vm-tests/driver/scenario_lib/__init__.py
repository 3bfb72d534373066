"""What scenarios share beyond the interface of the NixOS test driver.

Nothing here knows the driver: only `state_dir`, `send_console` and the like of a machine, and the
environment variables of `image`. So it works in a NixOS test too (`extraPythonPackages`).
"""
