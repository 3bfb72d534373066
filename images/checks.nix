# What must be true of the ceremony image, beside what it does when it boots (../vm-tests).
{ pkgs, ceremony }:

let
  inherit (pkgs) lib;
  inherit (ceremony.config.system) build checks;

  # Another derivation that makes the same: in another place, in another time zone.
  again =
    derivation:
    derivation.overrideAttrs (old: {
      name = "again-${derivation.name}";
      env = (old.env or { }) // {
        TZ = "Pacific/Chatham";
      };
    });

  # What a site could add to the image, and what it is told.
  refused = {
    secretmem = {
      module.boot.kernelPatches = [
        {
          name = "without-secretmem";
          patch = null;
          structuredExtraConfig.SECRETMEM = lib.kernel.no;
        }
      ];
      says = "the kernel has no CONFIG_SECRETMEM=y";
    };
    landlock = {
      module.boot.kernelPatches = [
        {
          name = "without-landlock";
          patch = null;
          structuredExtraConfig.SECURITY_LANDLOCK = lib.mkForce lib.kernel.no;
        }
      ];
      says = "the kernel has no CONFIG_SECURITY_LANDLOCK=y";
    };
    hibernation = {
      module.boot.resumeDevice = "/dev/disk/by-label/swap";
      says = "a machine that hibernates writes its secrets to a disk";
    };
    login = {
      module.services.getty.autologinUser = "root";
      says = "there is no login on the appliance";
    };
    aarch64 = {
      module.nixpkgs.hostPlatform = lib.mkForce "aarch64-linux";
      says = "the appliance is a machine of x86-64";
    };
    service = {
      module.systemd.services.dialer = {
        wantedBy = [ "multi-user.target" ];
        script = "true";
      };
      says = "or disable it: dialer.service";
    };
  };
  sayings =
    module:
    map (failed: failed.message) (
      lib.filter (each: !each.assertion)
        (ceremony.extendModules { modules = [ module ]; }).config.assertions
    );
  accepted = lib.attrNames (
    lib.filterAttrs (_: case: !lib.any (lib.hasInfix case.says) (sayings case.module)) refused
  );
in
lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 {
  # What is built before the image is made is checked by `nix build --rebuild`.
  ceremony-image-reproducible = pkgs.runCommand "ceremony-image-reproducible" { } ''
    for pair in \
      ${build.intermediateImage}:${again build.intermediateImage} \
      ${build.uki}:${again build.uki} \
      ${build.image}:${again build.image}; do
      diff --recursive --brief "''${pair%%:*}" "''${pair##*:}"
    done
    sha256sum ${build.image}/*.raw ${build.uki}/*.efi > $out
  '';

  ceremony-refuses =
    assert lib.assertMsg (
      accepted == [ ]
    ) "the ceremony image takes, and should refuse: ${toString accepted}";
    pkgs.runCommand "ceremony-refuses" { } "touch $out";

  # Kernel options and drivers; the image isn't built either where they are not as they should be.
  ceremony-kernel = pkgs.linkFarmFromDrvs "ceremony-kernel" checks;
}
