"""Runs scenarios against the ceremony image in QEMU, with the interface of the NixOS test driver.

A scenario is a Python file that knows nothing of QEMU, with a TOML file beside it that says which
machines it needs. In NixOS the same Python file is the `testScript` of a test.
"""
