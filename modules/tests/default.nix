# The modules' checks: derivations of nothing, whose evaluation is the test. `cargo xtask nix` runs the same
# expressions wherever there is a nixpkgs.
{
  nixpkgs,
  pkgs,
  self,
}:

let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;

  check =
    name: failures:
    pkgs.runCommand name { } (
      if failures == [ ] then "touch $out" else throw (lib.concatStringsSep "\n" ([ name ] ++ failures))
    );
  current =
    name: file: text:
    check name (
      lib.optional (lib.readFile file != text) "it is not current: cargo xtask nix --nixpkgs DIR --write"
    );

  # What README.md shows, as it is.
  example = (import ../fleet-example/flake.nix).outputs {
    self = example;
    inherit nixpkgs;
    sesame = self;
  };
in
{
  modules = check "modules" (import ./verdict.nix { inherit nixpkgs system; }).failures;
  settings = check "settings" (import ./settings.nix { inherit nixpkgs; });
}
// lib.optionalAttrs (system == "x86_64-linux") {
  options-page = current "modules/OPTIONS.md" ../OPTIONS.md (
    import ../options-page.nix { inherit nixpkgs system; }
  );
  rendered-units = current "modules/tests/rendered.txt" ./rendered.txt (
    import ./rendered.nix { inherit nixpkgs system; }
  );
  fleet-example = check "fleet-example" (
    lib.optional (
      example.nixosConfigurations.keys-1.config.system.build.toplevel.drvPath == ""
    ) "it does not evaluate"
  );
}
