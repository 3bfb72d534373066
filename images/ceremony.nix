# The ceremony image: a disk with a UKI, the store on a verified /usr, its hash tree, and nothing else.
# system.build.ceremonyMedia is the directory that `cargo xtask image` writes of the Debian-built one: disk, UKI
# and manifest.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:

let
  inherit (config.image.repart.verityStore) partitionIds;
  inherit (config.ceremony) files package usr;

  # The Debian-built image's command line, but for what names its root, and the lockdown that this
  # kernel doesn't have.
  notHere = [
    "root=/dev/mapper/root"
    "rootfstype=erofs"
    "ro"
    # NixOS writes it itself, from boot.consoleLogLevel.
    "loglevel=4"
    "lockdown=confidentiality"
    "systemd.verity_root_options=panic-on-corruption"
  ];
  shared = lib.subtractLists notHere files.kernelParameters;
  unknown = lib.subtractLists files.kernelParameters notHere;
in
{
  imports = [
    "${modulesPath}/image/repart.nix"
    ../modules/ceremony-appliance.nix
    ./kernel.nix
    ./uki.nix
  ];

  assertions = [
    {
      assertion = unknown == [ ];
      message = "images/ceremony.nix leaves out of the command line what it doesn't have: ${toString unknown}";
    }
  ];

  system.image = {
    id = "sesame-ceremony";
    inherit (package) version;
  };

  image.repart = {
    # As the Debian-built image has it: not secret, and the same everywhere.
    seed = "7d5c5ae1-98b0-4c1c-8b57-0f5ae2a3d8a4";
    sectorSize = 512;
    verityStore = {
      enable = true;
      ukiPath = "/EFI/BOOT/BOOT${lib.toUpper pkgs.stdenv.hostPlatform.efiArch}.EFI";
    };
    mkfsOptions.erofs = [
      # Of files with several links the order would depend on the store that builds.
      "--hard-dereference"
      "-zlz4hc,12"
      # What is verified is read in whole blocks.
      "-E^inline_data"
    ];
    partitions = {
      ${partitionIds.esp}.repartConfig = {
        Type = "esp";
        Format = "vfat";
        SizeMinBytes = "96M";
        SizeMaxBytes = "96M";
      };
      ${partitionIds.store} = {
        storePaths = [ usr ];
        contents = lib.genAttrs [ "/bin" "/lib" "/libexec" "/sbin" "/share" ] (directory: {
          source = "${usr}${directory}";
        });
        repartConfig = {
          VerityDataBlockSizeBytes = 4096;
          VerityHashBlockSizeBytes = 4096;
        };
      };
      ${partitionIds.store-verity}.repartConfig = {
        VerityDataBlockSizeBytes = 4096;
        VerityHashBlockSizeBytes = 4096;
      };
    };
  };

  # In memory, and without programs: what runs is on /usr, which is also where /nix/store is from.
  fileSystems."/" = {
    fsType = "tmpfs";
    options = [
      "mode=0755"
      "nosuid"
      "nodev"
      "noexec"
      "size=10%"
    ];
  };

  boot = {
    loader.grub.enable = false;
    initrd.systemd = {
      enable = true;
      # An initrd that can't go on offers nobody anything, and has no shell.
      emergencyAccess = false;
      shell.enable = false;
      # Nothing in it is started by what the command line says; see uki.nix.
      suppressedUnits = [
        "debug-shell.service"
        "systemd-hibernate-resume.service"
      ];
      suppressedStorePaths =
        map
          (
            generator:
            "${config.boot.initrd.systemd.package}/lib/systemd/system-generators/systemd-${generator}"
          )
          [
            "debug-generator"
            "gpt-auto-generator"
            "hibernate-resume-generator"
            "run-generator"
            "factory-reset-generator"
          ];
      services.emergency = {
        description = "No system was started";
        # In place of systemd's, which asks for a password.
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          StandardInput = "null";
          StandardOutput = "file:/dev/kmsg";
          ExecStartPre = [ "" ];
          ExecStopPost = [ "" ];
          ExecStart = [
            ""
            ''/bin/echo "<0>sesame: no system was started: the medium is damaged, altered or too slow (above)."''
            ''/bin/echo "<0>sesame: switch off, and check it elsewhere: sesame media verify"''
          ];
        };
      };
    };
    kernelParams = shared ++ [ "systemd.verity_usr_options=panic-on-corruption" ];
    consoleLogLevel = 4;
  };

  system.build.ceremonyMedia = pkgs.callPackage ./media.nix {
    sesame = package;
    inherit (config.system.build) image uki toplevel;
    inherit (config.ceremony) commit;
    inherit (config.system.image) version;
    name = config.image.baseName;
  };
}
