"""What makes scenarios run in the test driver of NixOS as they do in ours.

`start` is the start script of each machine: it boots the image as it is, and not what NixOS would make of a
test's node. `adapt` gives the driver's machines what ours have and theirs lack.
"""
