# The VM tests: every scenario of ./scenarios on the ceremony image, and what only NixOS can do.
{
  nixpkgs,
  pkgs,
  self,
}:

let
  inherit (nixpkgs) lib;

  scenarios = ./scenarios;
  names = map (lib.removeSuffix ".toml") (
    lib.filter (lib.hasSuffix ".toml") (lib.attrNames (builtins.readDir scenarios))
  );

  inherit (self.nixosConfigurations) ceremony;
  media = ceremony.config.system.build.ceremonyMedia;

  scenario =
    name:
    pkgs.testers.runNixOSTest (
      import ./base.nix {
        inherit name scenarios media;
        mediaName = ceremony.config.image.baseName;
        inherit (pkgs) sesame;
        testPrograms = pkgs.callPackage ./programs.nix { };
        bootedProgram = "${ceremony.config.systemd.package}/lib/systemd/systemd";
      }
    );
in
# The appliance's console, partition types and firmware are those of x86-64 in the scenarios.
lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (
  lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") (lib.genAttrs names scenario)
  // {
    vm-cicada-tunnel = pkgs.testers.runNixOSTest (import ./cicada-tunnel.nix { inherit self; });
  }
)
