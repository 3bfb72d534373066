{
  description = "Sesame: an appliance for key ceremonies on machines that have no network";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # Per system: our packages and those of nixpkgs.
      eachSystem =
        f:
        lib.genAttrs systems (
          system:
          f (
            import nixpkgs {
              inherit system;
              overlays = [ self.overlays.default ];
            }
          )
        );
    in
    {
      overlays.default = final: _: {
        sesame = final.callPackage ./crates/package.nix { };
        cicada-oci = final.callPackage ./crates/cicada/packaging/container/image.nix { };
      };

      nixosModules = {
        sesame = ./modules/sesame.nix;
        cicada = ./modules/cicada.nix;
        ceremony-appliance = ./modules/ceremony-appliance.nix;
        default = ./modules;
      };

      nixosConfigurations.ceremony = lib.nixosSystem {
        modules = [
          ./images/ceremony.nix
          {
            nixpkgs.hostPlatform = "x86_64-linux";
            nixpkgs.overlays = [ self.overlays.default ];
            ceremony.commit = self.rev or self.dirtyRev or null;
          }
        ];
      };

      # The appliance is a machine of x86-64 (modules/ceremony-appliance.nix).
      packages = eachSystem (
        pkgs:
        {
          inherit (pkgs) sesame cicada-oci;
          default = pkgs.sesame;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 {
          ceremony-image = self.nixosConfigurations.ceremony.config.system.build.ceremonyMedia;
        }
      );

      checks = eachSystem (
        pkgs:
        import ./crates/checks.nix { inherit pkgs; }
        // import ./modules/tests { inherit nixpkgs pkgs self; }
        // import ./images/checks.nix {
          inherit pkgs;
          ceremony = self.nixosConfigurations.ceremony;
        }
        // import ./vm-tests { inherit nixpkgs pkgs self; }
      );

      devShells = eachSystem (pkgs: {
        default = pkgs.callPackage ./crates/shell.nix { };
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      apps = eachSystem (
        pkgs:
        import ./images/apps.nix {
          inherit pkgs;
          media = self.packages.${pkgs.stdenv.hostPlatform.system}.ceremony-image or null;
        }
      );
    };
}
