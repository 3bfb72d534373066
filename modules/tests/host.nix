# A host of a fleet, as small as it can be, with one module more: its configuration and options.
{ nixpkgs, system }:

module:
import (nixpkgs + "/nixos/lib/eval-config.nix") {
  lib = import (nixpkgs + "/lib");
  system = null;
  modules = [
    ../default.nix
    ../fleet-example/hardware.nix
    (
      { lib, ... }:
      {
        nixpkgs.hostPlatform = lib.mkForce system;
        services.sesame.enable = lib.mkDefault true;
      }
    )
    module
  ];
}
