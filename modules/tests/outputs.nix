# The flake's outputs with a nixpkgs that lies in a directory: each derivation by its name, for `cargo xtask nix`,
# which evaluates them one at a time so that a failure names its output. Nothing is fetched or built.
{ nixpkgs }:

let
  lib = import (nixpkgs + "/lib");

  asFlake = (import (nixpkgs + "/flake.nix")).outputs { self = input; };
  input = asFlake // {
    # As a text: as a path all of it would be copied into the store.
    outPath = toString nixpkgs;
  };
  outputs = (import ../../flake.nix).outputs {
    self = outputs // {
      outPath = toString ../..;
    };
    nixpkgs = input;
  };

  derivations =
    kind:
    lib.concatMapAttrs (
      system: lib.mapAttrs' (name: drv: lib.nameValuePair "${kind}.${system}.${name}" drv.drvPath)
    ) outputs.${kind};
in
derivations "packages"
// derivations "checks"
// derivations "devShells"
// lib.concatMapAttrs (
  system: lib.mapAttrs' (name: app: lib.nameValuePair "apps.${system}.${name}" app.program)
) outputs.apps
// lib.mapAttrs' (
  system: formatter: lib.nameValuePair "formatter.${system}" formatter.drvPath
) outputs.formatter
// lib.mapAttrs' (
  name: host:
  lib.nameValuePair "nixosConfigurations.${name}" host.config.system.build.toplevel.drvPath
) outputs.nixosConfigurations
