# The kernel of the ceremony image: what it must be able to do, and the few drivers that it may load.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (config.boot.kernelPackages) kernel;
  inherit (config.ceremony) files;

  # Options without which the daemons don't start.
  required = [
    "SECRETMEM"
    "SECURITY_LANDLOCK"
    "SECCOMP"
    "SECCOMP_FILTER"
  ];
  # What nixpkgs says of an option; null where it leaves it to the kernel's own default.
  said = option: kernel.configfile.structuredConfig.${option}.tristate or null;

  # Of Debian's kernel these are parts, of nixpkgs' modules.
  ownModules = [
    "atkbd"
    "autofs4"
    "dm_mod"
    "i8042"
    "loop"
    "overlay"
    "tpm_crb"
    "tpm_tis"
    "virtio_pci"
  ];

  # Every module that there is. Without any of the first the machine doesn't start.
  modules = pkgs.makeModulesClosure {
    kernel = lib.getOutput "modules" kernel;
    # Firmware of devices is not in the image.
    firmware = pkgs.emptyDirectory;
    rootModules = files.kernelModules ++ config.boot.initrd.availableKernelModules ++ ownModules;
    # The list is that of Debian's kernel. Some are parts of this one, or have gone into others.
    allowMissing = true;
  };
  indispensable = [
    "ahci"
    "dm_verity"
    "erofs"
    "loop"
    "nvme"
    "overlay"
    "sd_mod"
    "usb_storage"
    "vfat"
    "xhci_pci"
  ];
  # Below lib/modules/VERSION/kernel.
  networks = [
    "drivers/net"
    "drivers/bluetooth"
    "drivers/infiniband"
    "drivers/usb/serial"
    "net"
  ];
in
{
  boot = {
    # What is in the initrd beside what NixOS needs there itself.
    initrd = {
      includeDefaultModules = false;
      allowMissingModules = true;
      availableKernelModules = lib.mkMerge [
        files.initrdModules
        ownModules
        # A door for tests: the machine's SMBIOS tables. The shipped command line refuses what is there.
        [ "dmi_sysfs" ]
        # systemd would take the variable SystemdOptions for more of its command line.
        { efivarfs = lib.mkForce false; }
      ];
    };
    kernelModules = lib.mkForce [ ];
    extraModulePackages = lib.mkForce [ ];
    blacklistedKernelModules = lib.mkForce [ ];
  };
  hardware = {
    enableRedistributableFirmware = lib.mkForce false;
    firmware = lib.mkForce [ ];
  };
  # Blacklists name what may not be loaded; what is not there can't be.
  system.modulesTree = lib.mkForce [ modules ];

  assertions = map (option: {
    assertion = lib.elem (said option) (
      [ "y" ]
      # A kernel's own default for it is yes, where the machine can do it.
      ++ lib.optional (option == "SECRETMEM") null
    );
    message =
      "ceremony: the kernel has no CONFIG_${option}=y, and the daemons won't start on it. "
      + "Take a stock kernel of nixpkgs, or set it in boot.kernelPatches.*.structuredExtraConfig.";
  }) required;

  system.checks = [
    (pkgs.runCommand "ceremony-kernel-config" { } ''
      for option in ${toString required}; do
        grep --line-regexp --quiet "CONFIG_$option=y" ${kernel.configfile} || {
          echo "the kernel is built without CONFIG_$option=y, and the daemons don't start on it" >&2
          exit 1
        }
      done
      touch $out
    '')
    (pkgs.runCommand "ceremony-kernel-modules" { } ''
      version=$(ls ${config.system.modulesTree}/lib/modules)
      cd ${config.system.modulesTree}/lib/modules/$version
      for place in ${toString networks}; do
        if [ -n "$(find -L . -path "./kernel/$place/*" -name '*.ko*' -print -quit)" ]; then
          echo "the image would have a driver of $place" >&2
          exit 1
        fi
      done
      for module in ${toString indispensable}; do
        name=$(echo "$module" | sed 's/_/[-_]/g')
        find -L . -name '*.ko*' | cat - modules.builtin | grep --quiet "/$name\.ko" || {
          echo "neither a module nor a part of the kernel: $module" >&2
          exit 1
        }
      done
      touch $out
    '')
  ];
}
